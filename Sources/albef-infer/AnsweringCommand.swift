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
    /// Encoded files, for a process that answers more than one request.
    private var files: EncodedFiles?
    private var recent: [Encoded] = []
    private var ownAnswers: AnswerList?

    private struct Encoded {
        let pixels: [UInt8]
        let image: EncodedImage
    }

    /// Pictures that stay encoded: as many as one request compares.
    private static let keptPictures = 2

    /// - Parameter keepsFiles: Whether files are to be kept encoded for later requests.
    init(_ session: Session, keepsFiles: Bool = false) {
        self.session = session
        files = keepsFiles ? EncodedFiles() : nil
    }

    /// A picture encoded, or its encoding from before: that depends on nothing but the pixels at the model's size.
    ///
    /// - Parameter picture: Evaluated here, so that its pixels are given back before the model is run.
    func encode(_ picture: @autoclosure () throws -> Picture) throws -> EncodedImage {
        let prepared = try session.prepare(picture())
        if let place = recent.firstIndex(where: { $0.pixels == prepared.pixels }) {
            recent.append(recent.remove(at: place))
        } else {
            recent.append(Encoded(pixels: prepared.pixels, image: try session.encode(prepared)))
        }
        if recent.count > AnsweringContext.keptPictures { recent.removeFirst() }
        return recent[recent.count - 1].image
    }

    /// What is known of a picture's file from before.
    func known(_ path: String, _ limit: PictureLimit) -> EncodedFiles.Known? {
        files?.known(path, maxPixels: limit.maxPixels)
    }

    /// A picture's file encoded, and kept for later requests.
    func encode(file path: String, _ limit: PictureLimit) throws -> EncodedImage {
        let stamp = files == nil ? nil : FileStamp(path: path)
        var area = 0
        func prepare() throws -> PreparedImage {
            let picture = try limit.decode(path)
            area = picture.width * picture.height
            return try session.prepare(picture)
        }
        let image = try session.encode(prepare())
        if let stamp { files?.keep(image, of: path, stamp: stamp, area: area) }
        return image
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
    func require(_ head: Head) throws { try session.model.require(head) }
}

extension Model {
    /// Fails without a head that a command cannot do without.
    func require(_ head: Head) throws {
        if !heads.contains(head) { throw AlbefError.missingHead(path: file.path, head: head, tensor: head.keyTensor) }
    }
}
