import Albef
import AlbefFiles
import ArgumentParser

/// Writes every stage's tensor.
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Writes the tensors of every stage, for comparing with another implementation.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("A JPEG or PNG picture.", valueName: "file"))
    var image: String?
    @Option(help: "A caption.")
    var text: String?
    @Option(help: "A question, for a model that answers.")
    var question: String?
    @Flag(help: "Also the output of every block, under its name in the checkpoint.")
    var layers = false
    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("The .safetensors file to write.", valueName: "file"))
    var output: String

    func validate() throws {
        if image == nil && text == nil { throw ValidationError("Give --image, --text, or both.") }
        if text != nil && question != nil { throw ValidationError("Give --text or --question, not both.") }
    }

    func run() throws {
        let session = try common.session()
        let model = session.model
        let trace = try session.trace(
            Session.TraceRequest(
                image: image.map { try session.prepare(limit.decode($0)) },
                caption: text.map { try common.prepare($0, for: .caption, model: model) },
                question: question.map { try common.prepare($0, for: .question, model: model) }, blocks: layers))
        try trace.write(to: output)
        try common.show(
            [
                "output": .string(output),
                "tensors": .array(
                    trace.tensors.map {
                        [
                            "name": .string($0.name), "type": .string($0.dtype),
                            "shape": .array($0.shape.map { JSONValue($0) }), "digest": .string($0.digest),
                        ]
                    }),
            ],
            (trace.tensors.map { left($0.name, 24) + left($0.dtype, 5) + left("\($0.shape)", 18) + $0.digest }
                + ["wrote \(output)"]).joined(separator: "\n"))
    }
}
