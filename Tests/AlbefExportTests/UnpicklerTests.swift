import Testing

@testable import AlbefExport

@Suite("The restricted unpickler")
struct UnpicklerTests {
    private func run(_ bytes: [UInt8]) throws -> PickleGraph { try Unpickler.read(bytes) }

    private func root(_ text: String) throws -> PickleValue {
        let graph = try run(Array(text.utf8))
        return graph[graph.root]
    }

    @Test("plain values of every protocol are read")
    func plainValues() throws {
        for text in ["I7\n.", "L7L\n.", "K\u{7}.", "M\u{7}\u{0}.", "J\u{7}\u{0}\u{0}\u{0}."] {
            guard case .integer(7) = try root(text) else { Issue.record("\(text) is not 7"); continue }
        }
        guard case .integer(-2) = try Unpickler.read([0x8A, 1, 0xFE, 0x2E]).values[0] else { Issue.record("not -2"); return }
        guard case .integer(0) = try Unpickler.read([0x8A, 0, 0x2E]).values[0] else { Issue.record("not 0"); return }
        guard case .integer(-1) = try Unpickler.read([0x4A, 255, 255, 255, 255, 0x2E]).values[0] else {
            Issue.record("not -1")
            return
        }
        guard case .opaque("int") = try Unpickler.read([0x8A, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x2E]).values[0] else {
            Issue.record("an integer of 72 bits is not opaque")
            return
        }
        guard case .real(1.5) = try root("F1.5\n.") else { Issue.record("not 1.5"); return }
        guard case .real(1) = try Unpickler.read([0x47, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0, 0x2E]).values[0] else {
            Issue.record("not 1.0")
            return
        }
        guard case .boolean(true) = try root("I01\n.") else { Issue.record("not true"); return }
        guard case .none = try root("N.") else { Issue.record("not None"); return }
        guard case .text("ab") = try root("S'ab'\n.") else { Issue.record("not 'ab'"); return }
        guard case .text("ab") = try root("Vab\n.") else { Issue.record("not 'ab'"); return }
    }

    @Test("a class outside the known ones becomes an opaque value, however it is made")
    func opaqueValues() throws {
        for text in [
            "cos\nsystem\n(Vecho\ntR.", "cos\nsystem\n)R.", "(Vecho\nios\nsystem\n.",
            "(cos\nsystem\nVecho\no.", "cos\nsystem\n(tR}b.", "cos\nsystem\n(tR(Va\nVb\nu.", "cos\nsystem\n(tR(Va\nVb\ne.",
        ] {
            guard case .opaque("os.system") = try root(text) else { Issue.record("\(text.debugDescription)"); continue }
        }
    }

    @Test("damaged pickles are refused with the place", arguments: [
        ("", 0, "ends early"), ("N", 1, "ends early"), (".", 0, "empty"), ("0.", 0, "empty"), ("a.", 0, "empty"),
        ("t.", 0, "no mark"), ("(N0.", 3, "empty"), ("h\u{1}.", 0, "never set"), ("g5\n.", 0, "never set"),
        ("gx\n.", 0, "not a number"), ("X\u{7F}\u{7F}\u{7F}\u{7F}a.", 0, "ends early"), ("NNa.", 2, "no list"),
        ("NNNs.", 3, "no dictionary"), ("](NNu.", 4, "no dictionary"), ("}(Nu.", 3, "key without a value"), ("NR.", 1, "empty"),
        ("NNR.", 2, "no tuple"), ("NQ.", 1, "no storage"), ("P0\n.", 0, "does not write"), ("~.", 0, "does not write"),
        ("Nc", 1, "ends early"), ("(.", 1, "empty"),
    ])
    func damaged(text: String, position: Int, reason: String) {
        do {
            _ = try run(Array(text.utf8))
            Issue.record("\(text.debugDescription) was read")
        } catch let error as PickleError {
            #expect(error.reason.contains(reason), "\(error)")
            #expect(error.position == position, "\(error)")
        } catch { Issue.record("\(error)") }
    }

    @Test("lengths of 64 bits do not overflow")
    func hugeLengths() {
        for code: UInt8 in [0x8D, 0x8E, 0x96, 0x95] {
            for last: UInt8 in [0x7F, 0xFF] {
                let bytes = [code] + Array(repeating: 0xFF, count: 7) + [last]
                #expect(throws: PickleError.self) { try run(bytes) }
            }
        }
    }

    @Test("sharing without end costs no memory: a billion laughs are 31 values")
    func sharedValues() throws {
        var pickle = PickleBuilder()
        pickle.op("]")
        for _ in 0..<30 {
            // A tuple of two references to what came before.
            pickle.op("2")
            pickle.raw(0x86)
        }
        #expect(try run(pickle.finished()).values.count == 31)
    }

    @Test("a million nested lists are read and freed without recursion")
    func nesting() throws {
        var pickle = PickleBuilder()
        for _ in 0..<1_000_000 { pickle.op("]") }
        for _ in 0..<999_999 { pickle.op("a") }
        #expect(try run(pickle.finished()).values.count == 1_000_000)
    }

    @Test("a list that holds itself is read")
    func cycles() throws {
        #expect(try run(Array("]q\u{0}h\u{0}a.".utf8)).values.count == 1)
    }

    @Test("more values than any checkpoint has are refused")
    func valueLimit() {
        let bytes = Array(repeating: UInt8(ascii: "N"), count: Unpickler.maximumValues + 1) + [UInt8(ascii: ".")]
        #expect(throws: PickleError(position: Unpickler.maximumValues, reason: "more than 1000000 values")) { try run(bytes) }
    }

    @Test("appending one by one to a long list takes linear time")
    func appending() throws {
        var bytes = Array("]".utf8)
        for _ in 0..<300_000 { bytes += Array("Na".utf8) }
        let graph = try run(bytes + Array(".".utf8))
        #expect(graph.sequence(graph.root)?.count == 300_000)
    }
}
