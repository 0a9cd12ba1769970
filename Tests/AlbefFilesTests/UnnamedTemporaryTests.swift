import Foundation
import Testing

@testable import AlbefFiles

@Suite("Temporary files without a name")
struct UnnamedTemporaryTests {
    @Test("nothing is listed before a file is complete, nor after it is given up")
    func listing() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "albef-unnamed-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.path) }
        let path = folder.appending(path: "target").path

        do {
            let writer = try AtomicFileWriter(path: path)
            try writer.write([1, 2, 3])
            // A file system without unnamed files shows one of the writer's own names.
            #expect(try names().allSatisfy { $0.hasPrefix(".albef-") })
            _ = consume writer
        }
        #expect(try names() == [])

        for content: [UInt8] in [[1, 2, 3], Array(repeating: 9, count: 1 << 20)] {
            let writer = try AtomicFileWriter(path: path)
            try writer.write(content)
            try writer.overwrite(at: 1, [7])
            try writer.commit()
            #expect(try names() == ["target"])
            var expected = content
            expected[1] = 7
            #expect(try readFile(path, limit: 1 << 21) == expected)
        }
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect((mode ?? 0) & 0o600 == 0o600)
    }

    @Test("a file that is ended without a name can be read, and leaves what stands at its path")
    func withoutName() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "albef-nameless-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "target").path
        try writeAtomically([1, 2], to: path)
        for size in [3, 1 << 20] {
            let writer = try AtomicFileWriter(path: path)
            let content = (0..<size).map { UInt8(truncatingIfNeeded: $0 / 5) }
            try writer.write(content)
            let file = try writer.commitWithoutName()
            #expect(throws: FileError.self) { try writer.write([1]) }
            #expect(throws: FileError.self) { try writer.commitWithoutName() }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["target"])
            #expect(file.copy(at: 0, count: size) == content)
            file.releasePages()
            #expect(file.copy(at: 0, count: size) == content)
        }
        #expect(try readFile(path, limit: 9) == [1, 2])
        #expect(throws: FileError.self) { try AtomicFileWriter(path: path).commitWithoutName() }
    }

    @Test("pages that were given back are read again, and a digest does not depend on them")
    func releasedPages() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "albef-pages-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        try writeAtomically(content, to: path)
        let file = try MappedFile(path: path)
        #expect(file.copy(at: 0, count: content.count) == content)
        file.releasePages()
        #expect(file.copy(at: 0, count: content.count) == content)
        #expect(try SHA256.hex(ofFile: path) == SHA256.hex(of: content))
    }
}
