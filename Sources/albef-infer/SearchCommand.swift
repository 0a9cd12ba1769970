import Albef
import AlbefFiles
import AlbefImage
import ArgumentParser

/// Ranks the pictures of a folder for a text or for a picture, or captions for a picture.
struct SearchCommand: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "search", abstract: "Ranks pictures for a sentence or for a picture, or captions for a picture.",
        discussion: """
            --images with --text, and --texts with --image, rank all candidates by similarity, and the best of them \
            (--rerank) again by the matching head. --images with --image has no second stage: the matching head compares \
            pictures with texts only.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("Where the JPEG and PNG pictures lie, folders below included.", valueName: "folder"))
    var images: String?
    @Option(help: ArgumentHelp("Captions to rank for --image, one a line.", valueName: "file"))
    var texts: String?
    @Option(help: "The sentence to find pictures for.")
    var text: String?
    @Option(help: ArgumentHelp("The picture to find similar ones, or captions, for.", valueName: "file"))
    var image: String?
    @Option(help: ArgumentHelp("How many results to print.", valueName: "n"))
    var top = 10
    @Option(help: ArgumentHelp("How many candidates the matching head ranks (default: at most \(PictureSearch.defaultRerank)).", valueName: "n"))
    var rerank: Int?

    func validate() throws {
        if (images == nil) == (texts == nil) { throw ValidationError("Give either --images or --texts.") }
        if texts != nil && (image == nil || text != nil) { throw ValidationError("--texts are ranked for --image.") }
        if (text == nil) == (image == nil) { throw ValidationError("Give either --text or --image.") }
        if top < 1 { throw ValidationError("--top takes 1 or more, found \(top).") }
        if let rerank, rerank < 0 { throw ValidationError("--rerank takes 0 or more, found \(rerank).") }
        if image != nil, images != nil, let rerank, rerank > 0 {
            throw ValidationError("--rerank needs --text or --texts: pictures are not matched with pictures.")
        }
    }

    func answer(in context: AnsweringContext) throws -> CommandAnswer {
        if let texts { return try captions(texts, context) }
        return try pictures(images ?? "", context)
    }

    private func captions(_ path: String, _ context: AnsweringContext) throws -> CommandAnswer {
        let session = context.session
        let captions = try CaptionFile(path: path, model: session.model)
        let cut = captions.prepared.count(where: \.truncated)
        if cut > 0 { common.note("\(cut) of \(captions.texts.count) captions are longer than the model reads; they were cut") }
        let ranking = try session.rank(
            captions.prepared, for: context.encode(limit.decode(image ?? "")), rerank: rerank ?? PictureSearch.defaultRerank)
        return results(ranking, "text", "caption", captions.texts)
    }

    private func pictures(_ folder: String, _ context: AnsweringContext) throws -> CommandAnswer {
        let session = context.session
        let paths = try picturePaths(folder)
        if let text {
            let query = try session.encode(common.prepare(text, for: .retrieval, model: session.model))
            var search = try PictureSearch(query, rerank: rerank ?? PictureSearch.defaultRerank, session: session)
            let readable = try eachReadable(paths) { path in
                let known = context.known(path, limit)
                if let known, known.image == nil {
                    try search.add(feature: known.feature)
                } else {
                    try search.add(known?.image ?? context.encode(file: path, limit))
                }
            }
            let ranking = try search.ranking { try context.encode(file: readable[$0], limit) }
            return results(ranking, "image", "picture", readable)
        }
        let query = try context.encode(limit.decode(image ?? ""))
        guard let feature = query.feature else {
            throw AlbefError.missingHead(path: common.model, head: .contrastive, tensor: Head.contrastive.keyTensor)
        }
        var features: [[Float]] = []
        let readable = try eachReadable(paths) { path in
            features.append(try context.known(path, limit)?.feature ?? context.encode(file: path, limit).feature ?? [])
        }
        return results(try session.rank(features, like: feature), "image", "picture", readable)
    }

    /// The best of a ranking.
    ///
    /// - Parameters:
    ///   - key: What a candidate is called in JSON.
    ///   - title: And in the table.
    ///   - names: Of the candidates.
    private func results(_ ranking: [Ranked], _ key: String, _ title: String, _ names: [String]) -> CommandAnswer {
        let best = Array(ranking.prefix(top))
        return CommandAnswer(
            [
                "results": .array(
                    best.map {
                        .object([
                            JSONMember(key, .string(names[$0.index])), JSONMember("similarity", JSONValue($0.similarity)),
                            JSONMember("match", $0.match.map { JSONValue($0) } ?? .null),
                            JSONMember("itm_logit", $0.itmLogit.map { JSONValue($0) } ?? .null),
                        ])
                    })
            ], table(best, title, names))
    }

    private func table(_ ranking: [Ranked], _ title: String, _ names: [String]) -> String {
        var lines = ["rank  similarity   match  \(title)"]
        for (rank, result) in ranking.enumerated() {
            lines.append(
                right("\(rank + 1)", 4) + right(digits(result.similarity), 12)
                    + right(result.match.map { digits($0) } ?? "-", 8) + "  " + names[result.index])
        }
        return lines.joined(separator: "\n")
    }

    /// JPEG and PNG files by their names, sorted.
    private func picturePaths(_ folder: String) throws -> [String] {
        let endings = [".jpg", ".jpeg", ".png"]
        let paths = try listFolder(folder, recursively: true).filter { path in
            let lower = path.lowercased()
            return endings.contains { lower.hasSuffix($0) }
        }
        guard !paths.isEmpty else {
            throw FileError.malformed(
                path: folder, field: "folder", found: "no picture",
                expected: "files that end in \(endings.joined(separator: ", "))")
        }
        return paths.map { folder.hasSuffix("/") ? folder + $0 : folder + "/" + $0 }
    }

    /// Uses every picture that can be read; the others are named on standard error.
    ///
    /// - Returns: The paths of those that were.
    private func eachReadable(_ paths: [String], _ use: (String) throws -> Void) throws -> [String] {
        let showsProgress = !common.quiet && !common.json && StandardStreams.errorIsTerminal
        var readable: [String] = []
        for (number, path) in paths.enumerated() {
            if showsProgress { StandardStreams.reportProgress("\(number + 1) of \(paths.count) pictures") }
            do {
                try use(path)
                readable.append(path)
            } catch let error as ImageError {
                if showsProgress { StandardStreams.reportProgress("") }
                StandardStreams.reportLine("albef-infer: skipped: \(error)")
            }
        }
        if showsProgress { StandardStreams.reportProgress("") }
        return readable
    }
}
