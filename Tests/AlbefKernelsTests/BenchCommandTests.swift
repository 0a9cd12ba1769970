import AlbefTestSupport
import Foundation
import Testing

@Suite("The command albef-bench")
struct BenchCommandTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Runs the command that was built beside this test, on a list of shapes.
    private func run(_ shapes: String, _ arguments: String...) throws -> (code: Int32, lines: [Substring], error: String) {
        var build = URL(filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        if !build.path.contains("/.build") { build = URL(filePath: CommandLine.arguments[0]) }
        let process = Process()
        process.executableURL = build.deletingLastPathComponent().appending(path: "albef-bench")
        process.arguments = ["--shapes", try folder.write(Array(shapes.utf8), "shapes.txt"), "--seconds", "0.01"] + arguments
        let (output, error) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = error
        try process.run()
        let texts = [output, error].map { String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) }
        process.waitUntilExit()
        return (process.terminationStatus, texts[0].split(separator: "\n"), texts[1])
    }

    private static let shapes = """
        # a comment

        linear a 3 20 12 gelu residual
        attention_s8 b 3 17 2 20
        quantize_keys_values c 5 2 8
        quantize_rows d 3 17
        layer_norm e 4 9
        """

    @Test("each kernel is a line of JSON, behind the machine's peaks")
    func json() throws {
        let result = try run(BenchCommandTests.shapes, "--threads", "1", "2", "--json")
        try #require(result.code == 0, "\(result.error)")
        let names = result.lines.compactMap { line in
            ["\"peak\"", "\"layer\":\"a\"", "\"kernel\":\"b\"", "\"kernel\":\"c\"", "\"kernel\":\"d\"", "\"kernel\":\"e\""]
                .firstIndex { line.contains($0) }
        }
        #expect(names == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
        #expect(result.lines.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") })
        #expect(result.lines[0].contains("read_gbytes") && result.lines[0].contains("float32_gmacs"))
    }

    @Test("a person gets two tables: products, then other kernels")
    func tables() throws {
        let result = try run(BenchCommandTests.shapes, "--threads", "1")
        try #require(result.code == 0, "\(result.error)")
        #expect(result.lines.map { $0.split(separator: " ")[0] } == ["peak,", "variants:", "layer", "a", "kernel", "b", "c", "d", "e"])
        #expect(result.lines[5].contains("%"))
    }

    @Test(
        "a line that is no shape is refused with its number",
        arguments: [
            "linear a 3 20", "linear a 3 20 40000", "linear a 3 20 12 tanh", "layer_norm e 4 9 gelu", "layer_norm e 0 9",
            "sing a 1 2 3", "linear", "quantize_rows d 3 x",
        ])
    func refusals(line: String) throws {
        let result = try run("# first\n" + line + "\n")
        #expect(result.code == 64)
        #expect(result.error.contains("shapes.txt:2: expected an operation"), "\(result.error)")
        #expect(result.lines.isEmpty)
    }
}
