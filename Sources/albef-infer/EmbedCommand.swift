import Albef
import AlbefFiles
import ArgumentParser

/// Writes features of pictures or texts for use elsewhere.
struct EmbedCommand: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "embed", abstract: "Unit feature vectors of pictures or sentences, one row each: as .npy, or printed.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(parsing: .upToNextOption, help: ArgumentHelp("Pictures.", valueName: "file"))
    var image: [String] = []
    @Option(parsing: .upToNextOption, help: "Sentences.")
    var text: [String] = []
    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("The .npy file to write (default: the vectors are printed).", valueName: "file"))
    var output: String?

    static let listOptions: Set = ["image", "text"]

    func validate() throws {
        if image.isEmpty == text.isEmpty { throw ValidationError("Give either --image or --text, once or more.") }
    }

    func answer(in context: AnsweringContext) throws -> CommandAnswer {
        let session = context.session
        try context.require(.contrastive)
        var rows: [[Float]] = []
        for path in image { rows.append(try context.encode(limit.decode(path)).feature ?? []) }
        let texts = try text.map { try common.prepare($0, for: .retrieval, model: session.model) }
        rows += try session.encode(texts).map { $0.feature ?? [] }
        let width = session.model.configuration.embedDim
        let size: [JSONMember] = [JSONMember("rows", JSONValue(rows.count)), JSONMember("columns", JSONValue(width))]
        guard let output else {
            let features = JSONValue.array(rows.map { JSONValue($0) })
            return CommandAnswer(
                .object(size + [JSONMember("features", features)]),
                rows.map { $0.map { "\($0)" }.joined(separator: " ") }.joined(separator: "\n"))
        }
        try NPYFile(shape: [rows.count, width], values: rows.flatMap { $0 }).write(to: output)
        return CommandAnswer(
            .object(size + [JSONMember("output", .string(output))]), "wrote \(rows.count) x \(width) to \(output)")
    }
}
