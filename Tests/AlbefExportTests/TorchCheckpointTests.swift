import AlbefFiles
import Testing

@testable import AlbefExport

/// start/8, (start+1)/8, …: what the fixtures' tensors count.
private func counted(_ numbers: Int...) -> [Float] { numbers.map { Float($0) / 8 } }

@Suite("Files of torch.save")
struct TorchCheckpointTests {
    @Test("a checkpoint with optimiser, scheduler and settings gives the tensors of its model", arguments: [
        "wrapped.pth", "flat_protocol5.pth",
    ])
    func fixtures(name: String) throws {
        let checkpoint = try openCheckpoint(fixture(name))
        #expect(checkpoint.format == "PyTorch")
        #expect(
            checkpoint.tensors.map { "\($0.name) \($0.type.rawValue) \($0.shape)" } == [
                "bfloat16 BF16 [5]", "bool BOOL [2]", "columns F32 [4, 3]", "empty F32 [0, 4]", "float16 F16 [5]",
                "float32 F32 [3, 4]", "float64 F64 [2, 2]", "int64 I64 [1, 5]", "parameter F32 [2, 2]",
                "permuted F32 [4, 2, 3]", "scalar F32 []", "slice F32 [4]", "tied F32 [3, 2]", "tied_again F32 [3, 2]",
                "transposed F32 [6, 4]",
            ])
        for name in ["bfloat16", "float16"] { #expect(try checkpoint.floats(name) == counted(0, 1, 2, 3, 4)) }
        for name in ["float64", "parameter"] { #expect(try checkpoint.floats(name) == counted(0, 1, 2, 3)) }
        #expect(try checkpoint.floats("float32") == (0..<12).map { Float($0) / 8 })
        #expect(try checkpoint.floats("scalar") == [0.5])
        #expect(try checkpoint.floats("empty") == [])
        #expect(try checkpoint.floats("slice") == counted(3, 4, 5, 6))
        #expect(try checkpoint.floats("columns") == counted(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23))
        #expect(try checkpoint.floats("transposed").prefix(5) == counted(0, 6, 12, 18, 1)[...])
        #expect(try checkpoint.floats("permuted").prefix(7) == counted(0, 4, 8, 12, 16, 20, 1)[...])
        #expect(checkpoint.areSameMemory("tied", "tied_again"))
        #expect(!checkpoint.areSameMemory("tied", "parameter"))
    }

    @Test("integers are no weights")
    func integers() throws {
        let checkpoint = try openCheckpoint(fixture("wrapped.pth"))
        #expect(throws: ExportError.self) { try checkpoint.floats("int64") }
        #expect(message { try checkpoint.floats("int64") }?.hasSuffix("tensor 'int64' has type I64, expected F32, F16, BF16 or F64") == true)
    }

    @Test("a call of os.system in a checkpoint is data, and the tensors beside it are read")
    func hostileCall() throws {
        let checkpoint = try openCheckpoint(fixture("hostile_call.pth"))
        #expect(checkpoint.tensors.map(\.name) == ["float32"])
    }

    @Test("a whole pickled module is refused by name")
    func module() {
        #expect(
            message { try openCheckpoint(fixture("module.pth")) }?
                .hasSuffix("holds an object of torch.nn.modules.linear.Linear, not a state dict") == true)
    }

    @Test("what is no checkpoint is refused in one line")
    func otherFiles() throws {
        let folder = try TemporaryFolder()
        let legacy = try folder.write(
            [0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E, 0x80], to: "old.pth")
        #expect(message { try openCheckpoint(legacy) }?.contains("before version 1.6") == true)
        for bytes in [Array("PK".utf8), [0], Array(repeating: 0, count: 100), Array("\u{89}PNG\r\n".utf8)] {
            let path = try folder.write(bytes, to: "other")
            #expect(message { try openCheckpoint(path) }?.contains("\n") == false)
        }
        #expect(throws: ExportError.file(.missing(path: folder.path("none")))) { try openCheckpoint(folder.path("none")) }
    }

    @Test("storages are held to what the archive has", arguments: [
        (4, 0, [4], [1], nil as String?), (4, 1, [3], [1], nil), (4, 0, [2, 2], [1, 2], nil), (4, 3, [1], [100], nil),
        (4, 0, [0, 9], [9, 1], nil), (4, 4, [0], [1], nil),
        (5, 0, [5], [1], "its storage has 5 F32 elements, but m/data/0 has 16 bytes"),
        (Int.max / 9, 0, [1], [1], "its storage has"), (Int.max, 0, [1], [1], "a storage too large"),
        (4, 1, [4], [1], "does not fit"), (4, 0, [2, 3], [3, 1], "does not fit"), (4, -1, [2], [1], "negative"),
        (4, 0, [-2], [1], "negative"), (4, 0, [2], [-1], "negative"), (4, 0, [8], [0], "does not fit"),
        (4, 0, [1 << 40, 1 << 40], [0, 0], "does not fit"), (4, 0, [3], [Int.max], "does not fit"),
        (4, Int.max, [2], [1], "does not fit"), (4, 0, [2], [1, 1], "do not match"),
    ])
    func bounds(count: Int, offset: Int, shape: [Int], strides: [Int], expected: String?) throws {
        let folder = try TemporaryFolder()
        var pickle = PickleBuilder()
        pickle.dictionary {
            $0.text("w")
            $0.tensor(key: "0", count: count, offset: offset, shape: shape, strides: strides)
        }
        let values: [Float] = [1, 2, 3, 4]
        let path = try folder.write(
            ZipBuilder.torch(pickle.finished(), storages: ["0": bytes(of: values)]).build(), to: "a.pth")
        let found = message { try openCheckpoint(path).floats("w") }
        if let expected {
            #expect(found?.contains(expected) == true, "\(found ?? "no error")")
        } else {
            #expect(found == nil)
        }
    }

    @Test("bytes that are not aligned are read all the same")
    func misaligned() throws {
        let folder = try TemporaryFolder()
        for padding in 0..<4 {
            var pickle = PickleBuilder()
            pickle.dictionary {
                $0.text(String(repeating: "w", count: padding + 1))
                $0.tensor(key: "0", count: 3, shape: [3])
            }
            let path = try folder.write(
                ZipBuilder.torch(pickle.finished(), storages: ["0": bytes(of: [0.5, -3, 1e-30])]).build(), to: "a.pth")
            #expect(try openCheckpoint(path).floats(String(repeating: "w", count: padding + 1)) == [0.5, -3, 1e-30])
        }
    }

    @Test("a storage that the archive lacks is missed when it is read, not before")
    func missingStorage() throws {
        let folder = try TemporaryFolder()
        var pickle = PickleBuilder()
        pickle.dictionary {
            $0.text("w")
            $0.tensor(key: "../../etc/passwd", count: 3, shape: [3])
            $0.text("f8")
            $0.tensor(key: "1", count: 3, shape: [3], type: "Float8_e4m3fnStorage")
        }
        let path = try folder.write(ZipBuilder.torch(pickle.finished()).build(), to: "a.pth")
        let checkpoint = try openCheckpoint(path)
        #expect(checkpoint.tensors.map(\.name) == ["w"])
        #expect(message { try checkpoint.floats("w") }?.hasSuffix("missing from the archive") == true)
    }

    @Test("big-endian files are refused")
    func bigEndian() throws {
        let folder = try TemporaryFolder()
        var zip = ZipBuilder.torch(PickleBuilder().finished())
        zip.entries[1].data = Array("big".utf8)
        let path = try folder.write(zip.build(), to: "a.pth")
        #expect(message { try openCheckpoint(path) }?.hasSuffix("only little-endian files are read") == true)
    }
}

/// The text of the error that `body` throws; nil if it throws none.
func message<Value>(_ body: () throws -> Value) -> String? {
    do {
        _ = try body()
        return nil
    } catch { return "\(error)" }
}
