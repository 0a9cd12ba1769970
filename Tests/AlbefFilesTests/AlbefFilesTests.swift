import AlbefFiles
import AlbefTensor
import AlbefTestSupport
import Foundation
import Testing

@Suite("SHA-256")
struct SHA256Tests {
    /// FIPS 180-4 examples and the empty message.
    static let vectors: [(String, String)] = [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
        (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ]

    @Test("gives the published digests, with and without the CPU's instructions", arguments: [false, true])
    func published(portable: Bool) {
        for (message, digest) in SHA256Tests.vectors {
            var sum = SHA256(portable: portable)
            sum.update(Array(message.utf8))
            #expect(hexadecimal(sum.finalize()) == digest, "portable \(portable), \(message.utf8.count) bytes")
        }
    }

    @Test("does not depend on how a message is cut, nor on the variant")
    func pieces() {
        var random = SeededGenerator()
        let message = (0..<300).map { _ in UInt8.random(in: 0...255, using: &random) }
        for size in 0...message.count {
            var portable = SHA256(portable: true)
            portable.update(Array(message[..<size]))
            var pieces = SHA256()
            var place = 0
            while place < size {
                let step = min(size - place, Int.random(in: 0...70, using: &random))
                pieces.update(Array(message[place..<(place + step)]))
                place += step
            }
            #expect(portable.finalize() == pieces.finalize(), "seed \(random.seed), \(size) bytes")
        }
    }

    @Test("goes on after a digest was asked for, and reads files")
    func files() throws {
        var sum = SHA256()
        sum.update(Array("ab".utf8))
        _ = sum.finalize()
        sum.update(Array("c".utf8))
        #expect(hexadecimal(sum.finalize()) == SHA256Tests.vectors[1].1)
        let folder = try TemporaryFolder()
        #expect(try SHA256.hex(ofFile: folder.write(Array("abc".utf8), "x")) == SHA256Tests.vectors[1].1)
        #expect(SHA256.hex(of: []) == SHA256Tests.vectors[0].1)
    }
}

@Suite("Mapped files")
struct MappedFileTests {
    @Test("a tensor in a file must lie wholly in it, aligned")
    func tensors() throws {
        let folder = try TemporaryFolder()
        let values: [Float] = [1, 2, 3, 4]
        let path = try folder.write(values.flatMap { v in (0..<4).map { UInt8(truncatingIfNeeded: v.bitPattern >> (8 * $0)) } }, "f")
        let file = try MappedFile(path: path)
        #expect(file.byteCount == 16 && file.path == path)
        #expect(file.tensor(at: 4, shape: Shape(3), type: .float32)?.read() == [2, 3, 4] as [Float])
        #expect(file.tensor(at: 16, shape: Shape(0), type: .float32) != nil)
        #expect(file.tensor(at: 15, shape: Shape(1), type: .int8) != nil)
        for (offset, shape) in [(4, Shape(4)), (2, Shape(1)), (-4, Shape(1)), (16, Shape(1)), (20, Shape(0)), (0, Shape(1 << 40, 1 << 20))] {
            #expect(file.tensor(at: offset, shape: shape, type: .float32) == nil, "\(offset) \(shape)")
        }
        #expect(file.copy(at: 14, count: 2) != nil && file.copy(at: 14, count: 3) == nil && file.copy(at: 17, count: 0) == nil)
        #expect(file.copy(at: 1, count: Int.max) == nil)
    }

    @Test("a tensor keeps the mapping alive, and a replaced file leaves it as it was")
    func lifetime() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write([UInt8](repeating: 7, count: 10_000), "f")
        let tensor = try #require(try MappedFile(path: path).tensor(at: 0, shape: Shape(10_000), type: .uint8))
        try writeAtomically([1], to: path)
        #expect(tensor.read(as: UInt8.self).allSatisfy { $0 == 7 })
    }

    @Test("what cannot be mapped is refused by its kind")
    func refused() throws {
        let folder = try TemporaryFolder()
        let cases: [(String, FailureKind)] = [
            (folder.file("missing"), .missingInput), ("", .missingInput), (folder.file("no\0pe"), .missingInput),
            (folder.path, .inputOutput), ("/dev/null", .inputOutput), (try folder.write([], "empty"), .badData),
            (try folder.write([1], "file") + "/below", .missingInput),
        ]
        for (path, kind) in cases {
            let error = failure { _ = try MappedFile(path: path) } as? FileError
            #expect(error?.kind == kind, "\(path)")
            #expect(error?.description.contains("\n") == false)
        }
    }
}

@Suite("Atomic writes")
struct AtomicWriteTests {
    @Test("a file appears whole, replaces the old one, and leaves nothing else", arguments: [0, 1, 4096, 262_143, 262_145, 1_000_000])
    func whole(size: Int) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write([9, 9], "target")
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let writer = try AtomicFileWriter(path: path)
        try writer.write(Array(bytes[..<(size / 3)]))
        try writer.write(Array(bytes[(size / 3)...]))
        #expect(try readFile(path, limit: 10) == [9, 9])
        #expect(writer.byteCount == size)
        try writer.commit()
        #expect(try readFile(path, limit: size) == bytes)
        #expect(try folder.names() == ["target"])
    }

    @Test("a writer that is dropped leaves the old file and no other")
    func dropped() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write([5], "target")
        do {
            let writer = try AtomicFileWriter(path: path)
            try writer.write([UInt8](repeating: 1, count: 500_000))
            #expect(try folder.names().count == 2)
        }
        #expect(try folder.names() == ["target"])
        #expect(try readFile(path, limit: 10) == [5])
    }

    @Test("bytes written before can be replaced before the commit")
    func overwrite() throws {
        let folder = try TemporaryFolder()
        let writer = try AtomicFileWriter(path: folder.file("f"))
        try writer.write([0, 0, 0, 0])
        try writer.overwrite(at: 1, [7, 8])
        try writer.write([9])
        try writer.commit()
        #expect(try readFile(folder.file("f"), limit: 10) == [0, 7, 8, 0, 9])
        #expect(failure { try writer.write([1]) } is FileError)
    }

    @Test("a link is followed; folders, devices and missing folders are refused")
    func targets() throws {
        let folder = try TemporaryFolder()
        let real = try folder.write([1], "real")
        try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: "real")
        try writeAtomically([2], to: folder.file("link"))
        #expect(try readFile(real, limit: 10) == [2])
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file("link")) == "real")
        for path in [folder.path, "/dev/null", folder.file("no/where"), "", folder.file("x/")] {
            #expect((failure { try writeAtomically([1], to: path) } as? FileError)?.kind == .inputOutput, "\(path)")
        }
    }
}

@Suite("Reading files and folders")
struct ReadingTests {
    @Test("a file up to the limit is read, and one byte more is refused")
    func limit() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write([1, 2, 3], "f")
        #expect(try readFile(path, limit: 3) == [1, 2, 3])
        let error = failure { _ = try readFile(path, limit: 2) } as? FileError
        #expect(error == .malformed(path: path, field: "file size", found: "3 bytes", expected: "at most 2 bytes"))
        #expect((failure { _ = try readFile("/dev/zero", limit: 1000) } as? FileError)?.kind == .badData)
        #expect((failure { _ = try readFile(folder.path, limit: 1000) } as? FileError)?.kind == .inputOutput)
        #expect((failure { _ = try readFile(folder.file("none"), limit: 1000) } as? FileError)?.kind == .missingInput)
        #expect(try readFile("/dev/null", limit: 0) == [])
    }

    @Test("a folder is listed in the order of bytes, folders inside only when asked")
    func listing() throws {
        let folder = try TemporaryFolder()
        for name in ["b", "a/z", "a/b/c", "B", "é", "a.txt"] {
            let path = folder.file(name)
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try folder.write([1], name)
        }
        try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: "b")
        try FileManager.default.createSymbolicLink(atPath: folder.file("loop"), withDestinationPath: ".")
        try FileManager.default.createSymbolicLink(atPath: folder.file("dangling"), withDestinationPath: "nowhere")
        #expect(try listFolder(folder.path, recursively: false) == ["B", "a.txt", "b", "link", "é"])
        #expect(try listFolder(folder.path, recursively: true) == ["B", "a.txt", "a/b/c", "a/z", "b", "link", "é"])
        #expect((failure { _ = try listFolder(folder.file("b"), recursively: true) } as? FileError)?.kind == .inputOutput)
        #expect((failure { _ = try listFolder(folder.file("no"), recursively: true) } as? FileError)?.kind == .missingInput)
    }

    @Test("errors are one line, with the kind that decides the exit code")
    func errors() {
        let error = FileError.malformed(path: "a\nb", field: "f", found: "x\u{1B}[31m\u{202E}", expected: "y")
        #expect(
            error.description
                == "a\\u{a}b: f is x\\u{1b}[31m\\u{202e}, expected y. The file is damaged, cut short or of another kind.")
        #expect(FileError.missing(path: "p").description == "p: no such file or folder. Check the path.")
        #expect([FailureKind.usage, .badData, .missingInput, .internalFault, .inputOutput].map(\.rawValue) == [64, 65, 66, 70, 74])
        #expect(singleLine(String(repeating: "é", count: 1000), limit: 11) == "ééééé…")
    }
}
