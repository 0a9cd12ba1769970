import Albef
import AlbefFiles
import ArgumentParser

/// Compares one picture with one text.
struct MatchCommand: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "match", abstract: "How well a sentence fits a picture: cosine similarity and match probability.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("A JPEG or PNG picture.", valueName: "file"))
    var image: String
    @Option(help: "The sentence.")
    var text: String

    func answer(in context: AnsweringContext) throws -> CommandAnswer {
        let session = context.session
        let text = try common.prepare(text, for: .retrieval, model: session.model)
        let match = try session.match(context.encode(limit.decode(image)), session.encode(text))
        return CommandAnswer(
            [
                "similarity": match.similarity.map { JSONValue($0) } ?? .null, "match": JSONValue(match.match),
                "itm_logit": JSONValue(match.itmLogit),
            ],
            """
            similarity  \(match.similarity.map { digits($0) } ?? "-")
            match       \(digits(match.match))
            itm_logit   \(digits(match.itmLogit))
            """)
    }
}
