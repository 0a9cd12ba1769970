import AlbefTestSupport
import Glibc
import Testing

@testable import AlbefFiles

@Suite("Lines of a stream")
struct LineReaderTests {
    /// All lines of a stream that comes in given pieces.
    private func lines(_ pieces: [[UInt8]], limit: Int) throws -> [LineReader.Line] {
        let folder = try TemporaryFolder()
        let path = try folder.write(pieces.flatMap { $0 }, "stream")
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        var reader = LineReader(descriptor: descriptor, name: "stream", limit: limit)
        var result: [LineReader.Line] = []
        while let line = try reader.next() { result.append(line) }
        try #expect(reader.next() == nil, "the end stays the end")
        return result
    }

    private func text(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test(
        "lines end at line feeds; the last one needs none",
        arguments: [
            ("", []), ("\n", [""]), ("a", ["a"]), ("a\n", ["a"]), ("a\nb", ["a", "b"]), ("\n\na\n\n", ["", "", "a", ""]),
            ("a\r\nb\0c", ["a\r", "b\0c"]),
        ])
    func ends(content: String, expected: [String]) throws {
        try #expect(lines([text(content)], limit: 10) == expected.map { .bytes(text($0)) })
    }

    @Test("a line above the limit is told and skipped, and its neighbours come whole", arguments: [10, 65_535, 65_536, 200_000])
    func limits(limit: Int) throws {
        let fits = [UInt8](repeating: 0x61, count: limit), long = fits + [0x62]
        let huge = [UInt8](repeating: 0x63, count: 3 * limit + 100_000)
        for last in [[], [0x0A]] as [[UInt8]] {
            let result = try lines([fits, [0x0A], long, [0x0A], [0x64, 0x0A], huge, [0x0A], fits, [0x0A], long, last], limit: limit)
            #expect(result == [.bytes(fits), .tooLong, .bytes([0x64]), .tooLong, .bytes(fits), .tooLong], "limit \(limit)")
        }
    }

    @Test("random streams are split as a plain search splits them")
    func random() throws {
        var numbers = SeededGenerator()
        for _ in 0..<50 {
            let limit = Int.random(in: 0...9, using: &numbers)
            let content = (0..<Int.random(in: 0...400, using: &numbers)).map { _ in
                Int.random(in: 0..<6, using: &numbers) == 0 ? UInt8(0x0A) : UInt8.random(in: 0...255, using: &numbers)
            }
            var expected = content.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
            if expected.last == [] { expected.removeLast() }
            try #expect(
                lines([content], limit: limit) == expected.map { $0.count > limit ? .tooLong : .bytes($0) },
                "seed \(numbers.seed)")
        }
    }

    @Test("a line comes before the stream goes on")
    func asTheyCome() throws {
        var ends: [CInt] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        var reader = LineReader(descriptor: ends[0], name: "pipe", limit: 100)
        #expect(write(ends[1], "one\ntw", 6) == 6)
        try #expect(reader.next() == .bytes(text("one")))
        #expect(write(ends[1], "o\n", 2) == 2)
        try #expect(reader.next() == .bytes(text("two")))
        close(ends[1])
        try #expect(reader.next() == nil)
    }

    @Test("a stream that cannot be read is an error that names it")
    func unreadable() {
        var reader = LineReader(descriptor: -1, name: "standard input", limit: 10)
        let error = #expect(throws: FileError.self) { _ = try reader.next() }
        #expect(error?.kind == .inputOutput && error?.description.contains("standard input") == true)
    }
}
