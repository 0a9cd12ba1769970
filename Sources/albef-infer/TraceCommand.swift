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
    @Option(
        name: .customLong("left"),
        help: ArgumentHelp("The left one of two pictures, for a model that reasons over two.", valueName: "file"))
    var leftImage: String?
    @Option(name: .customLong("right"), help: ArgumentHelp("The right one of two pictures.", valueName: "file"))
    var rightImage: String?
    @Option(help: "A caption.")
    var text: String?
    @Option(help: "A caption in which each [MASK] stands for a word, as for fill-mask.")
    var maskedText: String?
    @Option(help: "A question, for a model that answers.")
    var question: String?
    @Flag(help: "Also the output of every block, under its name in the checkpoint.")
    var layers = false
    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("The .safetensors file to write.", valueName: "file"))
    var output: String

    func validate() throws {
        if image == nil && leftImage == nil && rightImage == nil && text == nil && maskedText == nil {
            throw ValidationError("Give --image, --left and --right, or --text, or pictures and a text.")
        }
        if (leftImage == nil) != (rightImage == nil) { throw ValidationError("Give --left and --right together.") }
        if image != nil && leftImage != nil { throw ValidationError("Give --image or --left and --right, not both.") }
        if question != nil && leftImage != nil { throw ValidationError("--question takes one picture: --image.") }
        if [text, maskedText, question].count(where: { $0 != nil }) > 1 {
            throw ValidationError("Give one of --text, --masked-text and --question.")
        }
    }

    func run() throws {
        let session = try common.session()
        let model = session.model
        let trace = try session.trace(
            Session.TraceRequest(
                image: (image ?? leftImage).map { try session.prepare(limit.decode($0)) },
                right: rightImage.map { try session.prepare(limit.decode($0)) },
                caption: text.map { try common.prepare($0, for: .caption, model: model) }
                    ?? maskedText.map { try common.prepare($0, for: .masked, model: model) },
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
