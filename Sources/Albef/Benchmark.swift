import AlbefImage
import AlbefTokenizer

/// What can be timed with a model: a stage by itself, or a whole task from the picture at the model's size.
public enum BenchmarkStage: String, Sendable, CaseIterable {
    /// Resizing the decoded picture.
    case prepareImage = "prepare_image"
    case imageEncoder = "image_encoder"
    case textEncoder12 = "text_encoder_12"
    case textEncoder30 = "text_encoder_30"
    /// The matching head's score of one encoded pair.
    case fusionPair12 = "fusion_pair_12"
    case fusionPair30 = "fusion_pair_30"
    /// The scores of one caption and sixteen encoded pictures.
    case fusionPictures12 = "fusion_16_pictures_12"
    case fusionPictures30 = "fusion_16_pictures_30"
    /// Ranking answers for an encoded picture and question.
    case answer
    /// Whole tasks: picture and text (30 tokens; 12 in a question) are encoded, fused and scored.
    case match
    case ground
    case groundITC = "ground_itc"
    case fillMask = "fill_mask"
    case vqa
    case entail
    case reason

    /// Whether answers are ranked.
    public var ranksAnswers: Bool { head == .answering }

    /// Tokens of its text; nil without one.
    public var tokens: Int? {
        switch self {
        case .prepareImage, .imageEncoder: nil
        case .textEncoder12, .fusionPair12, .fusionPictures12, .answer, .vqa: 12
        case .textEncoder30, .fusionPair30, .fusionPictures30, .match, .ground, .groundITC, .fillMask, .entail, .reason: 30
        }
    }

    /// The head that it cannot do without.
    var head: Head? {
        switch self {
        case .prepareImage, .imageEncoder, .textEncoder12, .textEncoder30: nil
        case .fusionPair12, .fusionPair30, .fusionPictures12, .fusionPictures30, .match, .ground: .matching
        case .groundITC: .contrastive
        case .fillMask: .maskedLanguage
        case .answer, .vqa: .answering
        case .entail: .entailment
        case .reason: .reasoning
        }
    }
}

/// Times of one stage.
public struct Latency: Sendable, Equatable {
    /// Seconds, ascending; at least one.
    public let sorted: [Double]

    /// - Parameter seconds: In any order; at least one.
    public init(_ seconds: [Double]) {
        precondition(!seconds.isEmpty)
        sorted = seconds.sorted()
    }

    /// The least.
    public var minimum: Double { sorted[0] }

    /// The least time that at least this share of the runs kept to (nearest rank).
    public func percentile(_ percent: Int) -> Double {
        precondition((1...100).contains(percent))
        return sorted[(sorted.count * percent + 99) / 100 - 1]
    }
}

/// Times the stages of a session's model on a picture and made-up texts. Inputs of a stage are made when it is first asked for,
/// so that timing one stage alone touches only the weights that it needs.
public final class Benchmark {
    /// Pictures that a caption is scored with in the stages that name many.
    public static let pictures = 16
    /// Runs before those that count.
    private static let warmups = 2

    private let session: Session
    private let picture: Picture
    private var prepared: PreparedImage?
    private var encoded: [EncodedImage] = []
    private var answers: AnswerList?

    /// - Parameters:
    ///   - picture: nil for a made-up one.
    ///   - answers: Candidates from ``Model/answerList(_:)``; nil for the list in the model file.
    public init(_ session: Session, picture: Picture? = nil, answers: AnswerList? = nil) {
        self.session = session
        self.picture = picture ?? Benchmark.testPicture()
        self.answers = answers
    }

    /// The stages that the model's heads allow; answers are ranked where the caller or the model file has some.
    public var stages: [BenchmarkStage] {
        let model = session.model
        let hasAnswers = answers != nil || model.file.answers?.isEmpty == false
        return BenchmarkStage.allCases.filter { stage in
            guard let head = stage.head else { return true }
            return model.heads.contains(head) && (hasAnswers || !stage.ranksAnswers)
        }
    }

    /// Runs a stage and takes the time of each run.
    ///
    /// - Returns: The times, and what the stage takes by count.
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)`` for a stage that the model cannot do,
    ///   ``AlbefError/noAnswers(path:)`` where there are none to rank.
    public func measure(_ stage: BenchmarkStage, runs: Int) throws(AlbefError) -> (latency: Latency, workload: Workload) {
        precondition(runs >= 1)
        if let head = stage.head, !session.model.heads.contains(head) { throw session.model.missing(head) }
        let (run, workload) = try job(stage)
        for _ in 0..<Benchmark.warmups { try run() }
        let clock = ContinuousClock()
        var seconds: [Double] = []
        for _ in 0..<runs {
            let start = clock.now
            try run()
            seconds.append((clock.now - start) / Duration.seconds(1))
        }
        return (Latency(seconds), workload)
    }

    private typealias Run = () throws(AlbefError) -> Void

    private func job(_ stage: BenchmarkStage) throws(AlbefError) -> (run: Run, workload: Workload) {
        let session = session, model = session.model
        let tokens = min(stage.tokens ?? 2, model.configuration.maxPositions)
        let text = text(tokens, masked: stage == .fillMask)
        let imageWork = model.imageEncoderWorkload, textWork = model.textEncoderWorkload(tokens: tokens)
        let fusionWork = model.fusionWorkload(tokens: tokens)
        switch stage {
        case .prepareImage:
            let picture = picture
            return ({ () throws(AlbefError) in _ = try session.prepare(picture) }, Workload(multiplyAdds: 0, weightBytes: 0))
        case .imageEncoder:
            let image = try image()
            return ({ () throws(AlbefError) in _ = try session.encode(image) }, imageWork)
        case .textEncoder12, .textEncoder30:
            return ({ () throws(AlbefError) in _ = try session.encode(text) }, textWork)
        case .fusionPair12, .fusionPair30:
            let image = try encodedImages(1)[0], encoded = try session.encode(text)
            return ({ () throws(AlbefError) in _ = try session.match(image, encoded) }, fusionWork)
        case .fusionPictures12, .fusionPictures30:
            let images = try encodedImages(Benchmark.pictures), encoded = try session.encode(text)
            return (
                { () throws(AlbefError) in _ = try session.match(images, encoded) },
                fusionWork.times(images.count)
            )
        case .answer:
            let image = try encodedImages(1)[0], question = try session.encode(text), list = try answerList()
            let scored = try session.answer(image, question, list).map(\.index)
            return (
                { () throws(AlbefError) in _ = try session.answer(image, question, list) },
                fusionWork + model.answeringWorkload(question: tokens, list, scored: scored)
            )
        case .vqa:
            let image = try image(), list = try answerList()
            let scored = try session.answer(session.encode(image), session.encode(text), list).map(\.index)
            return (
                { () throws(AlbefError) in _ = try session.answer(session.encode(image), session.encode(text), list) },
                imageWork + textWork + fusionWork + model.answeringWorkload(question: tokens, list, scored: scored)
            )
        case .match:
            let image = try image()
            return (
                { () throws(AlbefError) in _ = try session.match(session.encode(image), session.encode(text)) },
                imageWork + textWork + fusionWork
            )
        case .ground:
            // The gradient's products are not counted: the rate relates the whole to the match that it explains.
            let image = try image()
            return (
                { () throws(AlbefError) in _ = try session.ground(session.encode(image), session.encode(text)) },
                imageWork + textWork + fusionWork
            )
        case .groundITC:
            let image = try image()
            return (
                { () throws(AlbefError) in _ = try session.groundByFeature(image, session.encode(text)) },
                imageWork + textWork
            )
        case .fillMask:
            let image = try image()
            return (
                { () throws(AlbefError) in _ = try session.fillMasks(session.encode(image), session.encode(text), top: 5) },
                imageWork + textWork + fusionWork + model.wordLogitsWorkload(rows: 1)
            )
        case .entail:
            let image = try image()
            return (
                { () throws(AlbefError) in _ = try session.entail(session.encode(image), session.encode(text)) },
                imageWork + textWork + fusionWork
            )
        case .reason:
            let image = try image()
            return (
                { () throws(AlbefError) in
                    _ = try session.reason(session.encode(image), session.encode(image), session.encode(text))
                }, imageWork.times(2) + textWork + fusionWork
            )
        }
    }

    private func image() throws(AlbefError) -> PreparedImage {
        if let prepared { return prepared }
        let image = try session.prepare(picture)
        prepared = image
        return image
    }

    private func answerList() throws(AlbefError) -> AnswerList {
        if let answers { return answers }
        let list = try session.model.answerList()
        answers = list
        return list
    }

    /// Encoded pictures of which each lies in memory of its own, as those of a gallery do: the first one, and the same tokens
    /// in other orders.
    private func encodedImages(_ count: Int) throws(AlbefError) -> [EncodedImage] {
        if encoded.isEmpty { encoded.append(try session.encode(image())) }
        let first = encoded[0]
        while encoded.count < count {
            let start = encoded.count * session.model.vision.width % max(1, first.tokens.count)
            encoded.append(
                EncodedImage(tokens: Array(first.tokens[start...] + first.tokens[..<start]), feature: first.feature))
        }
        return Array(encoded[..<count])
    }

    /// `[CLS]` and words of the vocabulary, of which one may be masked.
    private func text(_ tokens: Int, masked: Bool) -> PreparedText {
        let tokenizer = session.model.tokenizer
        let words = tokenizer.vocabulary.indices.filter { id in
            tokenizer.vocabulary[id].utf8.allSatisfy { (0x61...0x7A).contains($0) }
        }
        var ids = [tokenizer.classID]
        for place in 1..<max(2, tokens) {
            // A stride that is no divisor of a round number spreads the words over the table.
            ids.append(words.isEmpty ? tokenizer.unknownID : Int32(words[place * 997 % words.count]))
        }
        if masked { ids[ids.count / 2] = tokenizer.maskID }
        return PreparedText(text: tokenizer.word(for: ids.dropFirst()), ids: ids, truncated: false)
    }

    /// A picture of a common size with edges and gradients, made of whole numbers.
    static func testPicture(width: Int = 640, height: Int = 480) -> Picture {
        var pixels: [UInt8] = []
        pixels.reserveCapacity(width * height * 3)
        for y in 0..<height {
            for x in 0..<width {
                let tile = (x / 40 + y / 40) % 2 == 0
                pixels.append(UInt8(truncatingIfNeeded: x * 255 / width))
                pixels.append(UInt8(truncatingIfNeeded: y * 255 / height))
                pixels.append(tile ? UInt8(truncatingIfNeeded: x ^ y) : 200)
            }
        }
        return Picture(width: width, height: height, pixels: pixels)
    }
}
