@testable import AlbefFiles
@testable import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Testing

@Suite("Hostile model files")
struct HostileFileTests {
    let folder: TemporaryFolder
    let valid: [UInt8]

    init() throws {
        folder = try TemporaryFolder()
        valid = try SmallModel.bytes()
    }

    /// The error of opening these bytes, nil if they open.
    private func error(_ bytes: [UInt8]) throws -> ModelFileError? {
        let path = try folder.write(bytes, "m.albef")
        let error = failure { _ = try ModelFile(path: path) }
        return error as? ModelFileError
    }

    private func refuse(_ bytes: [UInt8], _ what: String) throws {
        let error = try error(bytes)
        #expect(error?.kind == .badData, "\(what)")
        #expect(error?.description.contains("\n") == false && error?.description.contains("m.albef: ") == true, "\(what)")
    }

    /// A file whose tensor table was changed, with right sums.
    private func withTensorTable(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var parts = Parts(valid)
        change(&parts[.tensors])
        return parts.seal()
    }

    @Test("taking a file apart and sealing it again gives the same file")
    func parts() throws { #expect(Parts(valid).seal() == valid) }

    @Test("a file cut at any length is refused, section edges among them")
    func truncated() throws {
        let edges = Parts(valid).sections.indices.map { Int(valid.uint64(at: Int(valid.uint64(at: 24)) + 64 * $0 + 8)) }
        for size in Array(0..<200) + edges.flatMap({ [$0 - 1, $0, $0 + 1] }) + Array(stride(from: 200, to: valid.count, by: 37)) {
            try refuse(Array(valid[..<size]), "cut to \(size)")
        }
        for size in (valid.count - 70)..<valid.count { try refuse(Array(valid[..<size]), "cut to \(size)") }
        try refuse(valid + [0], "one byte more")
    }

    @Test("a missing file, a folder and an empty file keep their own kinds")
    func notThere() throws {
        #expect((failure { _ = try ModelFile(path: folder.file("none")) } as? ModelFileError)?.kind == .missingInput)
        #expect((failure { _ = try ModelFile(path: folder.path) } as? ModelFileError)?.kind == .inputOutput)
        #expect(try error([])?.kind == .badData)
    }

    @Test("another kind of file is called so")
    func magic() throws {
        for bytes in [Array("PK\u{3}\u{4}".utf8), Array("ALBEF".utf8), [UInt8](repeating: 0, count: 500), [0x89] + Array("ALBEF\n\n".utf8)] {
            let path = folder.file("m.albef")
            #expect(try error(bytes) == .notAModel(path: path))
        }
    }

    @Test("a newer major version is refused by name; a newer minor one may bring sections of its own")
    func versions() throws {
        var parts = Parts(valid)
        parts.major = 2
        parts.minor = 3
        #expect(try error(parts.seal()) == .newerVersion(path: folder.file("m.albef"), found: "2.3", supported: "1.0"))
        parts.major = 0
        try refuse(parts.seal(), "version 0")
        parts.major = 1
        parts.minor = 1
        parts.sections.append(Parts.Section(code: 9, encoding: 0, stored: [1, 2, 3], size: 3))
        #expect(try error(parts.seal()) == nil)
        let file = try ModelFile(path: folder.file("m.albef"))
        #expect(file.sections.last?.name == "section 9" && file.formatVersion == "1.1")
        try file.verifySums()
        parts.minor = 0
        try refuse(parts.seal(), "an unknown section at this version")
    }

    @Test("every flipped bit of the header and the section table is refused")
    func flippedHeader() throws {
        let table = Int(valid.uint64(at: 24))
        for place in Array(0..<128) + Array(table..<valid.count) {
            for bit in 0..<8 where place < 128 || bit == place % 8 {
                var bytes = valid
                bytes[place] ^= 1 << bit
                try refuse(bytes, "bit \(bit) of byte \(place)")
            }
        }
    }

    @Test("every flipped byte of the rest is refused at opening or found by the sums")
    func flippedBody() throws {
        let weightsEnd = 128 + Parts(valid)[.weights].count
        for place in 128..<Int(valid.uint64(at: 24)) {
            var bytes = valid
            bytes[place] ^= 0x41
            let path = try folder.write(bytes, "m.albef")
            let atOpening = failure { _ = try ModelFile(path: path) }
            if place >= weightsEnd { #expect(atOpening is ModelFileError, "byte \(place)") }
            if atOpening == nil {
                let file = try ModelFile(path: path)
                #expect(failure { try file.verifySums() } as? ModelFileError == .wrongSum(path: path, part: "weights"), "byte \(place)")
            }
        }
    }

    @Test("huge and impossible numbers in the section table are refused, with right sums")
    func sectionNumbers() throws {
        let numbers: [UInt64] = [0, 1, 63, 64, 65, 1 << 31, 1 << 32, 1 << 62, UInt64(Int.max), UInt64(Int.max) + 1, UInt64.max - 63, UInt64.max]
        for row in 0..<6 {
            for field in [8, 16, 24] {
                for number in numbers {
                    let at = 64 * row + field
                    let bytes = Parts(valid).seal { if $0.uint64(at: at) != number { $0.put(number, at: at) } }
                    if bytes != valid { try refuse(bytes, "row \(row), field \(field), \(number)") }
                }
            }
            for code in [0, 1, 2, 3, 4, 5, 6, 7, UInt32.max] as [UInt32] where code != UInt32(row + 1) {
                try refuse(Parts(valid).seal { $0.put(code, at: 64 * row) }, "row \(row), kind \(code)")
            }
            for encoding in [2, UInt32.max] { try refuse(Parts(valid).seal { $0.put(encoding, at: 64 * row + 4) }, "encoding") }
        }
        for count in [0, 1, 5, 7, 65, 1 << 26, UInt32.max] as [UInt32] {
            var bytes = valid
            bytes.put(count, at: 32)
            try refuse(bytes, "\(count) sections")
        }
    }

    @Test("sections that are missing, repeated or out of order are refused")
    func sectionOrder() throws {
        for index in 0..<6 where index != 4 {
            var parts = Parts(valid)
            parts.sections.remove(at: index)
            try refuse(parts.seal(), "without section \(index + 1)")
            parts = Parts(valid)
            parts.sections.insert(parts.sections[index], at: index)
            try refuse(parts.seal(), "section \(index + 1) twice")
            parts = Parts(valid)
            parts.sections.swapAt(index, index == 5 ? 0 : 5)
            try refuse(parts.seal(), "section \(index + 1) moved")
        }
        var parts = Parts(valid)
        parts.sections = []
        try refuse(parts.seal(), "no sections")
    }

    @Test("padding and unused bytes must be zero even under right sums")
    func padding() throws {
        var bytes = valid
        let end = 128 + Parts(valid)[.weights].count
        #expect(end % 64 != 0)
        bytes[end] = 1
        try refuse(bytes, "behind the weights")
        var parts = Parts(valid)
        parts[.weights][4] = 1  // behind `temp`
        try refuse(parts.seal(), "between blocks")
        var header = Array(valid[..<96])
        header[50] = 1
        let table = Array(valid[Int(valid.uint64(at: 24))...])
        try refuse(header + SHA256.digest(of: header + table) + valid[128...], "unused header bytes")
    }

    @Test("huge counts, overlaps, holes and false names in the tensor table are refused, with right sums")
    func tensorTable() throws {
        for count in [0, 3, 5, 1 << 24, UInt32.max] as [UInt32] {
            try refuse(withTensorTable { $0.put(count, at: 0) }, "\(count) tensors")
            try refuse(withTensorTable { $0.put(count, at: 4) }, "\(count) bytes of names")
        }
        try refuse(withTensorTable { $0.put(1 as UInt64, at: 8) }, "not zero")
        for size in [0, 15, 16, 95] { try refuse(withTensorTable { $0 = Array($0[..<size]) }, "\(size) bytes") }
        for row in 0..<4 {
            let at = 16 + 80 * row
            for (field, values) in [(0, [1, 2, 4]), (4, [2, 9]), (8, [3, 4, 5, UInt32.max]), (12, [1]), (72, [0, 1, 2, 9999]), (76, [0, 513, UInt32.max])] as [(Int, [UInt32])] {
                for value in values {
                    let bytes = withTensorTable { if $0.uint32(at: at + field) != value { $0.put(value, at: at + field) } }
                    if bytes != valid { try refuse(bytes, "row \(row), field \(field), \(value)") }
                }
            }
            for field in stride(from: 16, to: 72, by: 8) {
                for value in [1, 6, 64, 128, 1 << 20, 1 << 32, 1 << 61, UInt64(Int.max), 1 << 63, UInt64.max] as [UInt64] {
                    let bytes = withTensorTable { if $0.uint64(at: at + field) != value { $0.put(value, at: at + field) } }
                    // Other dimensions of a matrix may fill as many bytes; that is another model, not a broken file.
                    if row == 1 && field == 24 && value == 6 || row == 2 && field == 16 { continue }
                    if bytes != valid { try refuse(bytes, "row \(row), field \(field), \(value)") }
                }
            }
        }
        let names = 16 + 80 * 4
        for (byte, what) in [(0x20, "space"), (0xFF, "not ASCII"), (0, "zero"), (0x0A, "line feed")] as [(UInt8, String)] {
            try refuse(withTensorTable { $0[names] = byte }, what)
        }
        // temp, packed, head, bias: make the last like the first
        try refuse(withTensorTable { $0.replaceSubrange((names + 14)..<(names + 18), with: "temp".utf8) }, "a name twice")
        var parts = Parts(valid)
        parts[.weights] += [0]
        try refuse(parts.seal(), "weights beyond the last tensor")
    }

    @Test("scales, column sums and vectors out of range are refused at opening, float matrices by the sums")
    func numbers() throws {
        // Blocks: temp at 0, packed values 64, scales 320, sums 448, head 576, bias 832
        let cases: [(Int, UInt32, String)] = [
            (0, 0x7F80_0000, "infinite"), (0, 0x7FC0_0000, "NaN"), (840, 0xFF80_0000, "last of a vector"),
            (320, 0x7F80_0000, "infinite scale"), (320 + 64, 0x7FC0_0000, "last scale"), (320, 0xBF80_0000, "negative scale"),
            (320 + 68, 0x3F80_0000, "scale in the padding"), (448, 636, "sum above"), (448, UInt32(bitPattern: -636), "sum below"),
            (448, 0x8000_0000, "smallest sum"), (448 + 68, 1, "sum in the padding"),
        ]
        for (offset, bits, what) in cases {
            var parts = Parts(valid)
            parts[.weights].put(bits, at: offset)
            try refuse(parts.seal(), what)
        }
        var parts = Parts(valid)
        parts[.weights].put(0x7FC0_0000 as UInt32, at: 576 + 8)
        #expect(try error(parts.seal()) == nil)
        let file = try ModelFile(path: folder.file("m.albef"))
        #expect((failure { try file.verifySums() } as? ModelFileError)?.description.contains("values of 'head'") == true)
    }

    @Test("text sections that are no UTF-8, no JSON or not complete are refused")
    func texts() throws {
        let cases: [(SectionKind, [UInt8], String)] = [
            (.vocabulary, Array("a\nb\nc\nd\ne\nf\n".utf8) + [0xFF, 0x0A], "not UTF-8"), (.vocabulary, Array("a\nb\n".utf8), "too few"),
            (.vocabulary, [], "none"), (.vocabulary, Array("a\nb\nc\nd\ne\nf\ng".utf8), "last line open"),
            (.answers, [0xC3, 0x0A], "answers not UTF-8"), (.answers, Array("x".utf8), "answer open"),
            (.configuration, [], "no configuration"), (.configuration, Array("{}".utf8), "empty configuration"),
            (.configuration, Array(String(repeating: "[", count: 100_000).utf8), "deep configuration"),
            (.configuration, Array(#"{"task":"vqa","precision":"int8"}"#.utf8), "no sizes"),
            (.configuration, Array(#"{"task":"x","precision":"int8","configuration":{}}"#.utf8), "task"),
            (.configuration, Array(#"{"task":"vqa","precision":"int4","configuration":{}}"#.utf8), "precision"),
            (.provenance, Array("{}".utf8), "empty provenance"), (.provenance, Array("x".utf8), "no JSON"),
        ]
        for (kind, content, what) in cases {
            var parts = Parts(valid)
            parts[kind] = content
            try refuse(parts.seal(), what)
        }
    }

    @Test("a compressed section is one frame of the size that the table states, and may grow at most 256-fold")
    func bombs() throws {
        let zeros = [UInt8](repeating: 0x0A, count: 8 << 20)
        let bomb = try #require(Compression.compress(zeros))
        #expect(bomb.count * Format.maximumExpansion < zeros.count)
        let small = try #require(Compression.compress(Array("yes\nno\n".utf8)))
        let cases: [([UInt8], UInt64, String)] = [
            (bomb, UInt64(zeros.count), "true size"), (bomb, UInt64(bomb.count * 256), "false size"), (small, 6, "one less"),
            (small, 8, "one more"), (small + [0], 7, "bytes behind"), (small + small, 14, "two frames"), (Array(small.dropLast()), 7, "cut"),
            ([], 0, "nothing"), (Array("yes\nno\n".utf8), 7, "no frame"),
        ]
        for (stored, size, what) in cases {
            var parts = Parts(valid)
            parts.sections[4] = Parts.Section(code: 5, encoding: 1, stored: stored, size: size)
            try refuse(parts.seal(), what)
        }
        for place in small.indices {
            var parts = Parts(valid)
            var changed = small
            changed[place] ^= 0x10
            parts.sections[4] = Parts.Section(code: 5, encoding: 1, stored: changed, size: 7)
            _ = try error(parts.seal())
        }
        // The writer does not compress what shrinks further.
        try SmallModel.write(folder.file("a"), answers: [String(repeating: "x", count: 1 << 20)])
        let file = try ModelFile(path: folder.file("a"))
        #expect(file.sections[4].isCompressed == false && file.answers?.first?.utf8.count == 1 << 20)
    }

    @Test("random damage under right sums never crashes, and what opens can be read to its last element")
    func damage() throws {
        var random = SeededGenerator()
        for round in 0..<1500 {
            var parts = Parts(valid)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<parts.sections.count, using: &random)
                guard !parts.sections[index].stored.isEmpty else { continue }
                let place = Int.random(in: 0..<parts.sections[index].stored.count, using: &random)
                parts.sections[index].stored[place] = random.next() % 4 == 0 ? UInt8.random(in: 0...255, using: &random) : 0xFF
            }
            let bytes = parts.seal { table in
                if round % 3 == 0 {
                    table[Int.random(in: 0..<table.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
            }
            let path = try folder.write(bytes, "m.albef")
            let error = failure {
                let file = try ModelFile(path: path)
                for tensor in file.tensors where tensor.kind != .float32 {
                    _ = try file.matrix(tensor.name, channels: tensor.shape[0], depth: tensor.shape[1])
                }
                try? file.verifySums()
            }
            #expect(error == nil || error is ModelFileError, "seed \(random.seed), round \(round)")
        }
    }
}
