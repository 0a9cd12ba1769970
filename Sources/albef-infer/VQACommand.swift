import Albef
import AlbefFiles
import AlbefImage
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
    @Option(
        name: [.customShort("o"), .long],
        help: ArgumentHelp("Write the picture with the best answer's heatmap on it as PNG.", valueName: "png"))
    var output: String?
    @Option(help: ArgumentHelp("Write the best answer's heatmap as float32 .npy.", valueName: "npy"))
    var heatmap: String?

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
        let image = try session.encode(picture), text = try session.encode(question)
        let ranked = try session.answer(image, text, candidates).prefix(top)
        var members = [
            JSONMember(
                "answers",
                .array(ranked.map { ["answer": .string($0.answer), "probability": JSONValue($0.probability)] }))
        ]
        var lines = ranked.map { digits($0.probability) + "  " + $0.answer }
        if heatmap != nil || output != nil, let best = ranked.first {
            let found = try session.groundAnswer(image, text, answer: best.answer)
            lines += try write(found.heatmap, picture, session)
            lines.insert("heatmap of the best answer, layer \(found.layer):", at: ranked.count)
            members.append(JSONMember("heatmap", found.heatmap.json))
        }
        try common.show(.object(members), lines.joined(separator: "\n"))
    }

    /// Writes the files that are asked for, and tells about the map.
    private func write(_ map: Heatmap, _ picture: Picture, _ session: Session) throws -> [String] {
        var lines = [map.shades]
        if let output {
            let box = map.box(width: picture.width, height: picture.height, kernels: session.kernels)
            try writePNG(renderOverlay(picture, heatmap: map, box: box, kernels: session.kernels), to: output)
            lines.append("wrote \(output)")
        }
        if let heatmap {
            try NPYFile(shape: [map.rows, map.columns], values: map.values).write(to: heatmap)
            lines.append("wrote \(heatmap)")
        }
        return lines
    }
}
