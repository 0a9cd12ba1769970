import Albef
import AlbefFiles
import ArgumentParser

/// Visual entailment of one sentence by one picture.
struct EntailCommand: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "entail", abstract: "Whether a picture contradicts a sentence, leaves it open or entails it.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("A JPEG or PNG picture.", valueName: "file"))
    var image: String
    @Option(help: "The sentence.")
    var text: String

    func answer(in context: AnsweringContext) throws -> CommandAnswer {
        let session = context.session
        let text = try common.prepare(text, for: .caption, model: session.model)
        return try CommandAnswer(session.entail(context.encode(limit.decode(image)), session.encode(text)))
    }
}

extension CommandAnswer {
    /// A class and every class's probability, in class order.
    init(_ result: Classification) {
        let classes = zip(result.classes, result.probabilities)
        self.init(
            [
                "label": .string(result.label),
                "probabilities": .object(classes.map { JSONMember($0, JSONValue($1)) }),
            ],
            (["label  \(result.label)"] + classes.map { "  " + left($0, 15) + digits($1) }).joined(separator: "\n"))
    }
}
