import Albef
import AlbefFiles
import AlbefImage
import ArgumentParser

/// Ranks the pictures of a folder for a text or for a picture.
struct SearchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search", abstract: "Ranks the pictures of a folder for a sentence or for a picture.",
        discussion: """
            With --text, all pictures are ranked by similarity, and the best of them (--rerank) again by the matching head. \
            With --image there is no second stage: the matching head compares pictures with texts only.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("Where the JPEG and PNG pictures lie, folders below included.", valueName: "folder"))
    var images: String
    @Option(help: "The sentence to find pictures for.")
    var text: String?
    @Option(help: ArgumentHelp("The picture to find similar ones for.", valueName: "file"))
    var image: String?
    @Option(help: ArgumentHelp("How many results to print.", valueName: "n"))
    var top = 10
    @Option(help: ArgumentHelp("How many candidates the matching head ranks (default: at most \(PictureSearch.defaultRerank)).", valueName: "n"))
    var rerank: Int?

    func validate() throws {
        if (text == nil) == (image == nil) { throw ValidationError("Give either --text or --image.") }
        if top < 1 { throw ValidationError("--top takes 1 or more, found \(top).") }
        if let rerank, rerank < 0 { throw ValidationError("--rerank takes 0 or more, found \(rerank).") }
        if image != nil, let rerank, rerank > 0 {
            throw ValidationError("--rerank needs --text: pictures are not matched with pictures.")
        }
    }

    func run() throws {
        let session = try common.session()
        let paths = try picturePaths()
        let ranking: [Ranked]
        let readable: [String]
        if let text {
            let query = try session.encode(common.prepare(text, for: .retrieval, model: session.model))
            var search = try PictureSearch(query, rerank: rerank ?? PictureSearch.defaultRerank, session: session)
            readable = try encodeAll(paths, session) { try search.add($0) }
            ranking = try search.ranking()
        } else {
            let query = try session.encode(limit.decode(image ?? ""))
            guard let feature = query.feature else {
                throw AlbefError.missingHead(path: common.model, head: .contrastive, tensor: Head.contrastive.keyTensor)
            }
            var features: [[Float]] = []
            readable = try encodeAll(paths, session) { features.append($0.feature ?? []) }
            ranking = try session.rank(features, like: feature)
        }
        let best = ranking.prefix(top)
        try common.show(
            [
                "results": .array(
                    best.map {
                        [
                            "image": .string(readable[$0.index]), "similarity": JSONValue($0.similarity),
                            "match": $0.match.map { JSONValue($0) } ?? .null,
                            "itm_logit": $0.itmLogit.map { JSONValue($0) } ?? .null,
                        ]
                    })
            ], table(Array(best), readable))
    }

    private func table(_ ranking: [Ranked], _ paths: [String]) -> String {
        var lines = ["rank  similarity   match  picture"]
        for (rank, result) in ranking.enumerated() {
            lines.append(
                right("\(rank + 1)", 4) + right(digits(result.similarity), 12)
                    + right(result.match.map { digits($0) } ?? "-", 8) + "  " + paths[result.index])
        }
        return lines.joined(separator: "\n")
    }

    /// JPEG and PNG files by their names, sorted.
    private func picturePaths() throws -> [String] {
        let endings = [".jpg", ".jpeg", ".png"]
        let paths = try listFolder(images, recursively: true).filter { path in
            let lower = path.lowercased()
            return endings.contains { lower.hasSuffix($0) }
        }
        guard !paths.isEmpty else {
            throw FileError.malformed(
                path: images, field: "folder", found: "no picture",
                expected: "files that end in \(endings.joined(separator: ", "))")
        }
        return paths.map { images.hasSuffix("/") ? images + $0 : images + "/" + $0 }
    }

    /// Encodes every picture that can be read; the others are named on standard error.
    ///
    /// - Returns: The paths of those that were.
    private func encodeAll(_ paths: [String], _ session: Session, _ use: (EncodedImage) throws -> Void) throws -> [String] {
        let showsProgress = !common.quiet && !common.json && StandardStreams.errorIsTerminal
        var readable: [String] = []
        for (number, path) in paths.enumerated() {
            if showsProgress { StandardStreams.reportProgress("\(number + 1) of \(paths.count) pictures") }
            let picture: Picture
            do {
                picture = try limit.decode(path)
            } catch let error as ImageError {
                if showsProgress { StandardStreams.reportProgress("") }
                StandardStreams.reportLine("albef-infer: skipped: \(error)")
                continue
            }
            try use(session.encode(picture))
            readable.append(path)
        }
        if showsProgress { StandardStreams.reportProgress("") }
        return readable
    }
}
