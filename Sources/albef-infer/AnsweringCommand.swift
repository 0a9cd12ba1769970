import Albef
import AlbefFiles
import AlbefImage
import ArgumentParser

/// A command that answers from a session: once from the command line, or a request of `run` after another.
protocol AnsweringCommand: ParsableCommand {
    var common: CommonOptions { get }
    /// Long names of the options that take more than one value.
    static var listOptions: Set<String> { get }
    /// Computes the answer, and writes the files that are asked for.
    func answer(in context: AnsweringContext) throws -> CommandAnswer
}

extension AnsweringCommand {
    static var listOptions: Set<String> { [] }

    func run() throws {
        let answer = try answer(in: AnsweringContext(common.session()))
        try common.show(answer.json, answer.text())
    }
}

/// An answer for a program, and for a person.
struct CommandAnswer {
    let json: JSONValue
    let text: () -> String

    init(_ json: JSONValue, _ text: @autoclosure @escaping () -> String) {
        self.json = json
        self.text = text
    }
}

/// A session and what the last requests left for the next ones. It changes how fast an answer comes, never the answer.
final class AnsweringContext {
    let session: Session
    private var recent: [Encoded] = []
    private var ownAnswers: AnswerList?

    private struct Encoded {
        let pixels: [UInt8]
        let image: EncodedImage
    }

    /// Pictures that stay encoded: as many as one request compares.
    private static let keptPictures = 2

    init(_ session: Session) { self.session = session }

    /// A picture encoded, or its encoding from before: that depends on nothing but the pixels at the model's size.
    func encode(_ picture: Picture) throws -> EncodedImage {
        let prepared = try session.prepare(picture)
        if let place = recent.firstIndex(where: { $0.pixels == prepared.pixels }) {
            recent.append(recent.remove(at: place))
        } else {
            recent.append(Encoded(pixels: prepared.pixels, image: try session.encode(prepared)))
        }
        if recent.count > AnsweringContext.keptPictures { recent.removeFirst() }
        return recent[recent.count - 1].image
    }

    /// The candidates of a JSON file, or the model's own, which are tokenised once.
    func candidates(_ path: String?) throws -> AnswerList {
        if let path { return try session.model.answerList(readAnswers(path)) }
        if let ownAnswers { return ownAnswers }
        let list = try session.model.answerList()
        ownAnswers = list
        return list
    }

    /// Fails for a model without a head that a command cannot do without.
    func require(_ head: Head) throws {
        let model = session.model
        if !model.heads.contains(head) {
            throw AlbefError.missingHead(path: model.file.path, head: head, tensor: head.keyTensor)
        }
    }
}
