import AlbefFiles
import AlbefTestSupport
import Testing

@testable import AlbefModelFile

@Suite("Compressed files")
struct CompressedFileTests {
    private let content = [UInt8](repeating: 7, count: 5000) + (0..<255)

    @Test("a frame gives its content back")
    func roundTrip() throws {
        let frame = try #require(Compression.compress(content))
        #expect(try CompressedFile.decompress(frame, path: "f", limit: 10_000) == content)
    }

    @Test("a frame that states more than the limit is refused before anything is allocated")
    func limit() throws {
        let frame = try #require(Compression.compress(content))
        let error = #expect(throws: FileError.self) { try CompressedFile.decompress(frame, path: "f", limit: 5000) }
        #expect(error?.kind == .badData)
    }

    @Test("a cut, changed or foreign frame is an error", arguments: [0, 1, 9, 20])
    func damaged(length: Int) throws {
        let frame = try #require(Compression.compress(content))
        #expect(throws: FileError.self) {
            try CompressedFile.decompress(Array(frame.prefix(length)), path: "f", limit: 10_000)
        }
        #expect(throws: FileError.self) {
            try CompressedFile.decompress([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], path: "f", limit: 10_000)
        }
    }

    @Test("safetensors are read from memory as from a file")
    func safetensorsInMemory() throws {
        let folder = try TemporaryFolder()
        var writer = SafetensorsWriter(metadata: [:])
        writer.add("x", shape: [2], [Float(1.5), -2])
        try writer.write(to: folder.path + "/x.safetensors")
        let bytes = try readFile(folder.path + "/x.safetensors", limit: 1 << 20)
        let file = try SafetensorsFile(content: bytes, path: "memory")
        #expect(try file.floats("x") == [1.5, -2])
        file.releasePages()
        #expect(try file.floats("x") == [1.5, -2], "pages without a file behind them are kept")
        #expect(throws: FileError.self) { try SafetensorsFile(content: [], path: "memory") }
    }
}
