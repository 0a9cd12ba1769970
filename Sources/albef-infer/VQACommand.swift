import Albef
import AlbefFiles
import ArgumentParser

/// Answers a question about a picture.
struct VQACommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vqa", abstract: "Ranks the answers to a question about a picture.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("A JPEG or PNG picture.", valueName: "file"))
    var image: String
    @Option(help: "The question.")
    var question: String
    @Option(help: ArgumentHelp("How many answers to print.", valueName: "n"))
    var top = 5
    @Option(help: ArgumentHelp("JSON list of answers to rank instead of the model's own.", valueName: "a.json"))
    var answers: String?

    func validate() throws {
        if top < 1 { throw ValidationError("--top takes 1 or more, found \(top).") }
    }

    func run() throws {
        let session = try common.session()
        guard session.model.heads.contains(.answering) else {
            throw AlbefError.missingHead(path: common.model, head: .answering, tensor: Head.answering.keyTensor)
        }
        let candidates = try session.model.answerList(answers.map(readAnswers))
        let question = try common.prepare(question, for: .question, model: session.model)
        let picture = try limit.decode(image)
        let ranked = try session.answer(session.encode(picture), session.encode(question), candidates).prefix(top)
        try common.show(
            [
                "answers": .array(
                    ranked.map { ["answer": .string($0.answer), "probability": JSONValue($0.probability)] })
            ], ranked.map { digits($0.probability) + "  " + $0.answer }.joined(separator: "\n"))
    }
}
