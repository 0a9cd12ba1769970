import Albef
import AlbefFiles
import AlbefImage
import ArgumentParser

/// Finds where in a picture a text is.
struct GroundCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ground", abstract: "Where in a picture a sentence is: heatmap, box, ranked proposals.",
        discussion: """
            The heatmap is Grad-CAM of the match score at one cross-attention layer (mode itm), or of the similarity at one \
            block of the image encoder (mode itc), which takes the text as a whole.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("A JPEG or PNG picture.", valueName: "file"))
    var image: String
    @Option(help: "The sentence.")
    var text: String
    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("Write the picture with the heatmap on it as PNG.", valueName: "png"))
    var output: String?
    @Option(help: ArgumentHelp("Write the heatmap as float32 .npy.", valueName: "npy"))
    var heatmap: String?
    @Flag(help: "Also a heatmap for each word; --heatmap then holds those, [words, rows, columns].")
    var perWord = false
    @Option(
        help: ArgumentHelp(
            "JSON list of boxes [x, y, width, height] to rank, or {image: [boxes]} as the official detections.",
            valueName: "json"))
    var boxes: String?
    @Option(
        help: ArgumentHelp(
            "Cross-attention layer, counted over all text layers, or block of the image encoder (default: the model's own).",
            valueName: "n"))
    var layer: Int?
    @Option(help: "The score that is explained: itm (match score) or itc (similarity).")
    var mode = GroundingMode.itm

    func validate() throws {
        if perWord && mode == .itc {
            throw ValidationError("--per-word needs --mode itm: the similarity takes the text as a whole.")
        }
    }

    /// What either mode finds.
    private struct Found {
        /// The layer or the block that was looked at.
        let place: String
        let heatmap: Heatmap
        /// None in mode itc.
        let words: [Grounding.Word]
    }

    private func ground(_ picture: Picture, _ text: EncodedText, _ session: Session) throws -> Found {
        switch mode {
        case .itm:
            let result = try session.ground(session.encode(picture), text, layer: layer)
            return Found(place: "layer \(result.layer)", heatmap: result.heatmap, words: result.words)
        case .itc:
            let result = try session.groundByFeature(session.prepare(picture), text, block: layer)
            return Found(place: "block \(result.block)", heatmap: result.heatmap, words: [])
        }
    }

    func run() throws {
        let session = try common.session()
        let text = try common.prepare(text, for: .caption, model: session.model)
        let proposals = try boxes.map { try ProposalFile(path: $0).boxes(for: image) }
        let picture = try limit.decode(image)
        let result = try ground(picture, session.encode(text), session)
        let size = (width: picture.width, height: picture.height)
        let ranked = result.heatmap.ranked(proposals ?? [], width: size.width, height: size.height, kernels: session.kernels)
        let box =
            if let best = ranked.first { best.box.map { Float($0) } } else {
                result.heatmap.box(width: size.width, height: size.height, kernels: session.kernels)
            }
        if let output {
            try writePNG(
                renderOverlay(picture, heatmap: result.heatmap, box: box, kernels: session.kernels), to: output)
        }
        if let heatmap { try file(result).write(to: heatmap) }
        try common.show(json(result, box, ranked), description(result, box, ranked))
    }

    private func file(_ result: Found) -> NPYFile {
        let map = result.heatmap
        guard perWord else { return NPYFile(shape: [map.rows, map.columns], values: map.values) }
        return NPYFile(
            shape: [result.words.count, map.rows, map.columns], values: result.words.flatMap(\.heatmap.values))
    }

    private func json(_ result: Found, _ box: [Float]?, _ ranked: [Heatmap.RankedBox]) -> JSONValue {
        [
            "heatmap": result.heatmap.json, "box": box.map { JSONValue($0) } ?? .null,
            "boxes": .array(
                ranked.map { ["box": .array($0.box.map { JSONValue($0) }), "score": JSONValue($0.score)] }),
            "words": .array(
                (perWord ? result.words : []).map { ["word": .string($0.word), "heatmap": $0.heatmap.json] }),
        ]
    }

    private func description(_ result: Found, _ box: [Float]?, _ ranked: [Heatmap.RankedBox]) -> String {
        var lines = ["heatmap of \(result.place), \(result.heatmap.rows) x \(result.heatmap.columns):", result.heatmap.shades]
        if perWord {
            for word in result.words { lines += ["\(word.word):", word.heatmap.shades] }
        }
        lines.append("box [x, y, width, height]: " + (box.map { "\($0)" } ?? "none, the map is zero"))
        for (rank, proposal) in ranked.enumerated() {
            lines.append("  " + right("\(rank + 1)", 3) + "  score " + digits(proposal.score, 6) + "  \(proposal.box)")
        }
        if let output { lines.append("wrote \(output)") }
        if let heatmap { lines.append("wrote \(heatmap)") }
        return lines.joined(separator: "\n")
    }
}
