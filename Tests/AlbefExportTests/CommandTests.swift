import AlbefFiles
import Foundation
import Testing

@testable import AlbefExport

@Suite("The command albef-export")
struct CommandTests {
    private let folder: TemporaryFolder
    private let checkpoint: String

    init() throws {
        folder = try TemporaryFolder()
        checkpoint = folder.path("c.safetensors")
        try SampleModel("command").writeSafetensors(to: checkpoint)
    }

    private struct Result {
        let code: Int32
        let output: String
        let error: String
    }

    private func run(_ arguments: String...) throws -> Result { try run(arguments) }

    /// Runs the command that was built beside this test.
    private func run(_ arguments: [String]) throws -> Result {
        var build = URL(filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        if !build.path.contains("/.build") { build = URL(filePath: CommandLine.arguments[0]) }
        let process = Process()
        process.executableURL = build.deletingLastPathComponent().appending(path: "albef-export")
        process.arguments = arguments
        let (output, error) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = error
        try process.run()
        // Both are short: neither pipe fills while the other is read.
        let texts = [output, error].map { String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) }
        process.waitUntilExit()
        return Result(code: process.terminationStatus, output: texts[0], error: texts[1])
    }

    @Test("an export prints a summary, one line of JSON, or nothing")
    func outputs() throws {
        let model = folder.path("m.albef")
        let plain = try run(checkpoint, "-o", model)
        #expect(plain.code == 0)
        #expect(plain.output.hasPrefix("\(model): retrieval, int8, "))
        #expect(plain.output.contains("channel "))
        #expect(plain.error == "")
        let json = try run(checkpoint, "--output", model, "--json", "--report", folder.path("r.json"), "--threads", "2")
        #expect(json.code == 0)
        #expect(json.output.filter { $0 == "\n" }.count == 1)
        let value = try JSONValue(parsing: json.output)
        #expect(value["model"]?["task"] == "retrieval")
        #expect(try JSONValue(readingFile: folder.path("r.json"), limit: 1 << 20) == value)
        let quiet = try run(checkpoint, "-o", model, "--quiet", "--precision", "float32", "--task", "grounding")
        #expect([quiet.output, quiet.error] == ["", ""])
        #expect(quiet.code == 0)
    }

    @Test("help and version go to standard output")
    func help() throws {
        #expect(try run("--version").output == exporterVersion + "\n")
        let help = try run("--help")
        #expect(help.code == 0)
        #expect(help.output.contains("USAGE: albef-export"))
        #expect(help.error == "")
    }

    @Test("every failure is one line and the documented exit code")
    func failures() throws {
        let model = folder.path("m.albef")
        let junk = try folder.write(Array("junk that is no checkpoint".utf8), to: "junk\nname")
        var damaged = SampleModel("command")
        damaged.tensors["temp"] = nil
        try damaged.writeSafetensors(to: folder.path("d.safetensors"))
        let empty = folder.path("empty")
        try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
        let bare = try folder.write(SampleModel("command").torchFile(), to: "c.pth")
        let cases: [(arguments: [String], code: Int32, text: String)] = [
            ([], 64, "Missing expected argument"), ([checkpoint], 64, "--output"),
            ([checkpoint, "-o", model, "--int4"], 64, "Unknown option '--int4'"),
            ([checkpoint, "-o", model, "--calibrate", folder.path("none")], 66, "no such file"),
            ([checkpoint, "-o", model, "--calibrate", empty], 65, "no picture in the folder"),
            ([checkpoint, "-o", model, "--calibrate", junk], 74, "not a folder"),
            ([checkpoint, "-o", model, "--calibrate", empty, "--precision", "float32"], 64, "leave it out"),
            ([checkpoint, "-o", model, "--image-size", "7"], 64, "a multiple of the patch size 2"),
            ([checkpoint, "-o", model, "--image-size", "0"], 64, "a multiple of the patch size 2"),
            ([checkpoint, "-o", model, "--image-size", "4098"], 64, "at most 4096"),
            ([checkpoint, "-o", model, "--precision", "int4"], 64, "'int4' is invalid"),
            ([checkpoint, "-o", model, "--task", "captioning"], 64, "'captioning' is invalid"),
            ([checkpoint, "-o", model, "--threads", "0"], 64, "--threads takes 1 to"),
            ([checkpoint, "-o", checkpoint], 64, "would replace an input"), ([bare, "-o", model], 64, "--vocab"),
            ([checkpoint, "-o", model, "--task", "vqa"], 65, "lacks: answering"),
            ([junk, "-o", model], 65, "neither a .safetensors file nor a .pth file"),
            ([folder.path("d.safetensors"), "-o", model], 65, "missing: 'temp'"),
            ([folder.path("none"), "-o", model], 66, "no such file"),
            ([checkpoint, "-o", model, "--vocab", folder.path("none")], 66, "no such file"),
            ([checkpoint, "-o", folder.path("none/m.albef")], 74, "cannot be written"),
            ([folder.url.path, "-o", model], 74, "it is a folder"),
        ]
        for (arguments, code, text) in cases {
            let result = try run(arguments)
            #expect(result.code == code, "\(arguments): \(result.error)")
            #expect(result.output == "", "\(arguments)")
            #expect(result.error.hasPrefix("albef-export: "), "\(arguments): \(result.error)")
            #expect(result.error.filter { $0 == "\n" }.count == 1, "\(arguments): \(result.error)")
            #expect(result.error.contains(text), "\(arguments): \(result.error)")
        }
        #expect(try !folder.names().contains("m.albef"))
    }

    @Test("a refusal for missing tensors names a few of them, and all in the report")
    func missingTensors() throws {
        var damaged = SampleModel("command")
        let missing = damaged.tensors.keys.filter { $0.hasPrefix("visual_encoder.blocks.0.") }.sorted()
        for name in missing { damaged.tensors[name] = nil }
        try damaged.writeSafetensors(to: folder.path("d.safetensors"))
        let result = try run(
            folder.path("d.safetensors"), "-o", folder.path("m.albef"), "--report", folder.path("r.json"))
        #expect(result.code == 65)
        #expect(result.error.contains("\(missing.count) of the model's tensors are missing: 'visual_encoder.blocks.0.norm1.weight'"))
        #expect(result.error.contains("and \(missing.count - 4) more"))
        let report = try JSONValue(readingFile: folder.path("r.json"), limit: 1 << 20)
        #expect(report["missing"]?.strings?.sorted() == missing)
        #expect(report["error"]?.string.map { result.error.contains($0) } == true)
        #expect(try !folder.names().contains("m.albef"))
    }

    @Test("a picture that cannot be read is skipped with a note; pictures that all cannot are refused")
    func unreadablePictures() throws {
        let pictures = folder.path("pictures")
        try FileManager.default.createDirectory(atPath: pictures, withIntermediateDirectories: true)
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../fixtures/images")
        for name in ["broken/truncated.png", "broken/text.jpg"] {
            let source = fixtures.appending(path: name)
            try FileManager.default.copyItem(atPath: source.path, toPath: pictures + "/" + source.lastPathComponent)
        }
        let refused = try run(checkpoint, "-o", folder.path("m.albef"), "--calibrate", pictures)
        #expect(refused.code == 65)
        #expect(refused.error.contains("none of its 2 cases can be used; the first: "), "\(refused.error)")
        #expect(refused.error.filter { $0 == "\n" }.count == 1)
        #expect(try !folder.names().contains("m.albef"))
        try FileManager.default.copyItem(
            atPath: fixtures.appending(path: "rgb.png").path, toPath: pictures + "/rgb.png")
        let done = try run(checkpoint, "-o", folder.path("m.albef"), "--calibrate", pictures)
        #expect(done.code == 0, "\(done.error)")
        #expect(done.error.split(separator: "\n").count == 2)
        #expect(done.error.split(separator: "\n").allSatisfy { $0.hasPrefix("albef-export: skipped: \(pictures)/t") })
        #expect(done.output.contains("calibrated on 1 cases of \(pictures), 2 skipped"))
        #expect(try folder.names().filter { $0.hasPrefix(".") }.isEmpty)
    }
}
