import Albef
import AlbefFiles
import ArgumentParser

/// Writes features of pictures or texts for use elsewhere.
struct EmbedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "embed", abstract: "Writes unit feature vectors of pictures or sentences as .npy, one row each.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(parsing: .upToNextOption, help: ArgumentHelp("Pictures.", valueName: "file"))
    var image: [String] = []
    @Option(parsing: .upToNextOption, help: "Sentences.")
    var text: [String] = []
    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("The .npy file to write.", valueName: "file"))
    var output: String

    func validate() throws {
        if image.isEmpty == text.isEmpty { throw ValidationError("Give either --image or --text, once or more.") }
    }

    func run() throws {
        let session = try common.session()
        guard session.model.heads.contains(.contrastive) else {
            throw AlbefError.missingHead(path: common.model, head: .contrastive, tensor: Head.contrastive.keyTensor)
        }
        var rows: [[Float]] = []
        for path in image { rows.append(try session.encode(limit.decode(path)).feature ?? []) }
        let texts = try text.map { try common.prepare($0, for: .retrieval, model: session.model) }
        rows += try session.encode(texts).map { $0.feature ?? [] }
        let width = session.model.configuration.embedDim
        try NPYFile(shape: [rows.count, width], values: rows.flatMap { $0 }).write(to: output)
        try common.show(
            ["rows": JSONValue(rows.count), "columns": JSONValue(width), "output": .string(output)],
            "wrote \(rows.count) x \(width) to \(output)")
    }
}
