@testable import AlbefFiles
import AlbefTestSupport
import Foundation
import Testing

@Suite("NumPy files")
struct NPYTests {
    @Test("arrays of every rank survive a round trip, byte for byte", arguments: [[], [0], [1], [5], [2, 3], [2, 0, 3], [2, 3, 4, 5]])
    func roundTrip(shape: [Int]) throws {
        let folder = try TemporaryFolder()
        let values = (0..<shape.reduce(1, *)).map { Float($0) * 0.1 - 1 } + []
        let array = NPYFile(shape: shape, values: values)
        try array.write(to: folder.file("a.npy"))
        #expect(try NPYFile(path: folder.file("a.npy")) == array)
        #expect(try readFile(folder.file("a.npy"), limit: 10_000).count % 64 == values.count * 4 % 64)
    }

    @Test("the bytes are those that NumPy writes")
    func bytes() throws {
        let folder = try TemporaryFolder()
        try NPYFile(shape: [2], values: [1, -2]).write(to: folder.file("a.npy"))
        var expected: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0]
        expected += Array("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }".utf8)
        expected += Array(repeating: 0x20, count: 127 - expected.count) + [0x0A, 0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0]
        #expect(try readFile(folder.file("a.npy"), limit: 1000) == expected)
    }

    @Test("cut, foreign and impossible files are refused")
    func hostile() throws {
        let folder = try TemporaryFolder()
        try NPYFile(shape: [2, 3], values: [1, 2, 3, 4, 5, 6]).write(to: folder.file("a.npy"))
        let bytes = try readFile(folder.file("a.npy"), limit: 1000)
        for size in 0..<bytes.count { refuse(try folder.write(Array(bytes[..<size]), "cut")) }
        refuse(try folder.write(bytes + [0], "longer"))
        let start = String(decoding: bytes[10..<128], as: UTF8.self)
        for (from, to) in [
            ("<f4", "<f8"), ("<f4", "|O "), ("False", "True "), ("(2, 3)", "(3, 3)"), ("(2, 3)", "(-2,3"), ("(2, 3)", "(2,  "),
            ("(2, 3)", "(2,x3)"), ("(2, 3)", "(4294967296,4294967296)"), ("(2, 3)", "(9223372036854775807, 9)"),
        ] {
            let header = Array((start.components(separatedBy: from).joined(separator: to)).utf8)
            refuse(try folder.write(Array(bytes[..<8]) + [UInt8(header.count & 255), UInt8(header.count >> 8)] + header + bytes[128...], "bad"))
        }
        var other = bytes
        other[6] = 2
        refuse(try folder.write(other, "version"))
    }

    private func refuse(_ path: String) {
        #expect((failure { _ = try NPYFile(path: path) } as? FileError)?.kind == .badData, "\(path)")
    }
}

@Suite("Safetensors files")
struct SafetensorsTests {
    static func sample(_ folder: TemporaryFolder) throws -> String {
        var writer = SafetensorsWriter(metadata: ["b": "2", "a": "é\n"])
        writer.add("ids", shape: [3], [1, -2, Int32.max])
        writer.add("x", shape: [2, 2], [1, 2, 3, -0.5] as [Float])
        writer.add("pixels", shape: [1, 2], [7, 255] as [UInt8])
        writer.add("scalar", shape: [], [0.07] as [Float])
        writer.add("none", shape: [0, 4], [] as [Float])
        writer.add("wide", .i64, shape: [1], bytes: [1, 0, 0, 0, 0, 0, 0, 0x80])
        try writer.write(to: folder.file("s.safetensors"))
        return folder.file("s.safetensors")
    }

    /// A file from a header's text and its data.
    static func bytes(_ header: String, _ data: [UInt8]) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) } + Array(header.utf8) + data
    }

    @Test("tensors and metadata survive a round trip, whatever order they came in")
    func roundTrip() throws {
        let folder = try TemporaryFolder()
        let file = try SafetensorsFile(path: SafetensorsTests.sample(folder))
        #expect(file.names == ["ids", "none", "pixels", "scalar", "wide", "x"] && file.metadata == ["a": "é\n", "b": "2"])
        #expect(try file.integers("ids") == [1, -2, Int64(Int32.max)] && file.integers("wide") == [Int64.min + 1])
        #expect(try file.floats("x") == [1, 2, 3, -0.5] && file.floats("scalar") == [0.07] && file.floats("none") == [])
        #expect(try file.integers("pixels") == [7, 255] && file.withBytes(of: "pixels") { $0.byteCount } == 2)
        #expect(file["x"]?.shape == [2, 2] && file["x"]?.dtype == .f32 && file["x"]?.count == 4 && file["y"] == nil)
        for name in file.names {
            let entry = try #require(file[name])
            #expect(entry.byteRange.lowerBound % entry.dtype.byteWidth == 0, "\(name) is not aligned")
        }
        #expect(failure { _ = try file.floats("ids") } is FileError && failure { _ = try file.integers("x") } is FileError)
        #expect((failure { _ = try file.floats("y") } as? FileError)?.kind == .badData)
        var one = SafetensorsWriter()
        one.add("a", shape: [1], [1] as [Float])
        one.add("b", shape: [1], [2] as [UInt8])
        var two = SafetensorsWriter()
        two.add("b", shape: [1], [2] as [UInt8])
        two.add("a", shape: [1], [1] as [Float])
        try one.write(to: folder.file("one"))
        try two.write(to: folder.file("two"))
        #expect(try readFile(folder.file("one"), limit: 1000) == readFile(folder.file("two"), limit: 1000))
    }

    @Test("a name that is there twice is not written")
    func twice() throws {
        let folder = try TemporaryFolder()
        for name in ["a", "__metadata__"] {
            var writer = SafetensorsWriter()
            writer.add("a", shape: [1], [1] as [Float])
            writer.add(name, shape: [1], [1] as [UInt8])
            #expect(failure { try writer.write(to: folder.file("f")) } is FileError)
        }
        #expect(try folder.names() == [])
    }

    @Test("every half and bfloat16 becomes the same number in float32")
    func halves() throws {
        for bits in UInt16.min...UInt16.max {
            let expected = Float(Float16(bitPattern: bits))
            let found = floatFromHalf(bits)
            guard found.bitPattern != expected.bitPattern else { continue }
            #expect(found.isNaN && expected.isNaN, "half \(bits)")
        }
        let folder = try TemporaryFolder()
        let header = #"{"d":{"dtype":"F64","shape":[1],"data_offsets":[4,12]},"h":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#
        let data: [UInt8] = [0x80, 0x3F, 0x20, 0xC0, 0x9A, 0x99, 0x99, 0x99, 0x99, 0x99, 0xB9, 0x3F]
        let file = try SafetensorsFile(path: folder.write(SafetensorsTests.bytes(header, data), "f"))
        #expect(try file.floats("h") == [1, -2.5] && file.floats("d") == [0.1])
    }

    @Test("a file that is cut or too long is refused at every length")
    func lengths() throws {
        let folder = try TemporaryFolder()
        let bytes = try readFile(SafetensorsTests.sample(folder), limit: 100_000)
        for size in 0..<bytes.count { refuse(try folder.write(Array(bytes[..<size]), "cut"), "cut to \(size)") }
        refuse(try folder.write(bytes + [0], "long"), "one byte more")
    }

    @Test("attacks on the header are refused", arguments: [
        // Holes, overlaps, order, ends
        #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, #"{"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#, #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}"#,
        #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,8]}}"#, #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4]}}"#,
        // Sizes
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, #"{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}"#, #"{"a":{"dtype":"U8","shape":["4"],"data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"U8","shape":4,"data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[9223372036854775803,9223372036854775807]}}"#,
        // Fields
        #"{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,4]}}"#, #"{"a":{"dtype":8,"shape":[4],"data_offsets":[0,4]}}"#,
        #"{"a":{"shape":[4],"data_offsets":[0,4]}}"#, #"{"a":{"dtype":"U8","data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1}}"#, #"{"a":[]}"#, #"{"a":null}"#, "{}", "[]", "", " {}",
        // Names and texts
        #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
        #"{"__metadata__":{"a":1},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
        #"{"__metadata__":[],"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
        #"{"__metadata__":{"a":"1","a":"2"},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}} x"#, #"{"a":[[[[[[[[[[1]]]]]]]]]]}"#,
    ])
    func attacks(header: String) throws {
        let folder = try TemporaryFolder()
        refuse(try folder.write(SafetensorsTests.bytes(header, [1, 2, 3, 4]), "f"), header)
    }

    @Test("a header's length beyond the cap or the file is refused before it is read")
    func headerLength() throws {
        let folder = try TemporaryFolder()
        for length in [3, 100_000_001, UInt64(Int.max), UInt64.max, 1 << 32] as [UInt64] {
            let prefix = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
            refuse(try folder.write(prefix + [0x7B, 0x7D], "f"), "\(length)")
        }
        let bad = SafetensorsTests.bytes("{\"\u{FFFD}\":1}", [])
        let bytes = bad.prefix(10) + [0xFF, 0xFF, 0xFF] + bad.dropFirst(13)
        refuse(try folder.write(Array(bytes), "f"), "not UTF-8")
    }

    @Test("random damage never crashes, and what opens can be read to its last element")
    func damage() throws {
        var random = SeededGenerator()
        let folder = try TemporaryFolder()
        let bytes = try readFile(SafetensorsTests.sample(folder), limit: 100_000)
        for round in 0..<3000 {
            var changed = bytes
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<changed.count, using: &random)
                changed[place] = Bool.random(using: &random)
                    ? UInt8.random(in: 0...255, using: &random) : "0123456789[]{},\"".utf8.randomElement(using: &random)!
            }
            let path = try folder.write(changed, "f")
            let error = failure {
                let file = try SafetensorsFile(path: path)
                for name in file.names { _ = try? file.floats(name).count + file.integers(name).count }
            }
            #expect(error == nil || error is FileError, "seed \(random.seed), round \(round)")
        }
    }

    private func refuse(_ path: String, _ what: String) {
        let error = failure { _ = try SafetensorsFile(path: path) } as? FileError
        #expect(error?.kind == .badData, "\(what)")
        #expect(error?.description.contains("\n") == false)
    }
}
