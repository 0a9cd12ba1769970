import Albef
import ArgumentParser

/// Reasoning over two pictures.
struct ReasonCommand: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "reason", abstract: "Whether a sentence is true of two pictures.",
        discussion: "The pictures have an order: a sentence may speak of the left one and the right one.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("The left picture, JPEG or PNG.", valueName: "file"))
    var left: String
    @Option(help: ArgumentHelp("The right picture, JPEG or PNG.", valueName: "file"))
    var right: String
    @Option(help: "The sentence.")
    var text: String

    func answer(in context: AnsweringContext) throws -> CommandAnswer {
        let session = context.session
        let text = try common.prepare(text, for: .caption, model: session.model)
        return try CommandAnswer(
            session.reason(
                context.encode(limit.decode(left)), context.encode(limit.decode(right)), session.encode(text)))
    }
}
