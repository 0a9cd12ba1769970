import Albef
import AlbefFiles
import ArgumentParser

/// Finds masked words of a sentence about a picture.
struct FillMaskCommand: AnsweringCommand {
    static let configuration = CommandConfiguration(
        commandName: "fill-mask", abstract: "Ranks the words for each [MASK] in a sentence about a picture.",
        discussion: "[MASK] is written exactly so. With several, each is predicted while the others stay masked.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("A JPEG or PNG picture.", valueName: "file"))
    var image: String
    @Option(help: "The sentence, with [MASK] for each word to find.")
    var text: String
    @Option(help: ArgumentHelp("How many words to print for each mask.", valueName: "n"))
    var top = 5

    func validate() throws {
        if top < 1 { throw ValidationError("--top takes 1 or more, found \(top).") }
    }

    func answer(in context: AnsweringContext) throws -> CommandAnswer {
        let session = context.session
        try context.require(.maskedLanguage)
        let text = try common.prepare(text, for: .masked, model: session.model)
        let masks = try session.fillMasks(context.encode(limit.decode(image)), session.encode(text), top: top)
        return CommandAnswer(
            [
                "masks": .array(
                    masks.map { words in
                        .array(words.map { ["word": .string($0.word), "probability": JSONValue($0.probability)] })
                    })
            ],
            masks.enumerated().map { place, words in
                (["mask \(place + 1)"] + words.map { "  " + digits($0.probability) + "  " + $0.word })
                    .joined(separator: "\n")
            }.joined(separator: "\n"))
    }
}
