import AlbefKernels
import AlbefLayers
import AlbefTensor

/// What a session can be asked for, as far as memory is planned.
public enum PlannedTask: String, Sendable, CaseIterable {
    case image, text, similarity, match, ground
    /// By the cosine of the features.
    case groundByFeature = "ground_itc"
    case fillMask = "fill_mask"
    case classify
    case answer = "vqa"
    case groundAnswer = "ground_vqa"
}

extension Session {
    /// The most bytes that a session's arena may have: a damaged or hostile model must not take a machine down.
    public static let memoryLimit = 1 << 34

    /// The bytes of an arena in which every task that the model can do has room, for texts of up to `textLimit` tokens.
    ///
    /// Each task runs once on an arena without memory, at its largest shapes; the most that any of them reserves is the plan.
    ///
    /// - Throws: ``AlbefError/tooMuchMemory(path:bytes:limit:)``.
    static func plan(_ model: Model, _ kernels: Kernels, textLimit: Int, only task: PlannedTask? = nil)
        throws(AlbefError) -> Int
    {
        let arena = Arena.planning()
        // A pass that is observed computes tokens, and needs room for them, that others do without.
        let work = Workspace(kernels: kernels, arena: arena, observer: UnseenTensors())
        try ForwardPass(model: model, work: work, textLimit: textLimit).runLargest(only: task)
        guard arena.peak <= memoryLimit else {
            throw .tooMuchMemory(path: model.file.path, bytes: arena.peak, limit: memoryLimit)
        }
        return arena.peak
    }

    /// The bytes of the arena that each task of the model needs at its largest shapes; the greatest is ``plannedBytes``.
    public func plannedTasks() throws(AlbefError) -> [(task: PlannedTask, bytes: Int)] {
        var result: [(task: PlannedTask, bytes: Int)] = []
        for task in PlannedTask.allCases {
            let bytes = try Session.plan(model, kernels, textLimit: textLimit, only: task)
            if bytes > 0 { result.append((task, bytes)) }
        }
        return result
    }
}

/// Stands for any observer while planning, when no tensor can be seen.
private final class UnseenTensors: TensorObserver {
    func observe(_ name: String, _ tensor: TensorView, in arena: Arena) {}
}

extension ForwardPass {
    /// Runs every task at its largest shapes, or one of them.
    func runLargest(only task: PlannedTask? = nil) throws(AlbefError) {
        func wants(_ other: PlannedTask) -> Bool { task == nil || task == other }
        let configuration = model.configuration
        let size = configuration.imageSize
        let feature = [Float](repeating: 0, count: configuration.embedDim)
        let picture = try PreparedImage(pixels: [UInt8](repeating: 0, count: 3 * size * size), for: model)
        if wants(.image) { _ = try encode(picture) }
        let image = EncodedImage(
            tokens: [Float](repeating: 0, count: model.vision.tokens * model.vision.width), feature: feature)
        let longest = sample(tokens: textLimit)
        let full = fullBatch()
        // The longest text whose fusion takes the other form of cross-attention.
        let absorbed = model.text.absorbedLength(upTo: textLimit)
        let short = absorbed > 0 && absorbed < textLimit ? [sample(tokens: absorbed)] : []

        if wants(.text) { _ = try encode(full) }
        var batches = [full.map(\.count)]
        // Texts of both forms at one picture.
        if !short.isEmpty, let last = full.last?.count {
            let part = min(absorbed, last)
            batches.append(full.dropLast().map(\.count) + [part, last - part])
        }
        if let head = model.contrastive {
            if wants(.groundByFeature) { _ = try ground(picture, feature, head, block: 0) }
            if wants(.similarity) {
                _ = similarities(feature, Array(repeating: feature, count: ForwardPass.similarityRows))
            }
        }
        if let head = model.matching {
            if wants(.match) {
                for batch in batches { _ = try match(image, zeros(batch), head) }
                let pairs = zeros(absorbedPairs(absorbed))
                if !pairs.isEmpty { _ = try match(Array(repeating: ([image], 1), count: pairs.count), pairs, head) }
                // One text at many pictures, for each number of them: the longest that so many leave room for.
                for count in 2...ForwardPass.picturesTogether where absorbed > 0 {
                    let texts = zeros(Array(repeating: min(absorbed, rowLimit / count), count: count))
                    _ = try match(Array(repeating: ([image], 1), count: count), texts, sameText: true, head)
                }
            }
            for text in [longest] + short where wants(.ground) {
                _ = try ground(image, text, head, layer: configuration.fusionLayer)
            }
        }
        if let head = model.language, wants(.fillMask) {
            for text in [longest] + short {
                try maskedLanguage(image, text, head)
                _ = try fillMasks(image, text, at: Array(0..<text.ids.count), head, top: 1)
            }
        }
        if let head = model.classification, wants(.classify) {
            let images = Array(repeating: image, count: model.picturesPerText)
            for batch in batches { _ = try classify(images, zeros(batch), head) }
        }
        if let decoder = model.decoder {
            let longestAnswer = [Int32](repeating: 0, count: textLimit + 1)
            let answers = largestAnswers()
            for text in [longest] + short {
                if wants(.answer) { _ = try answer(image, text.tokens, answers, decoder) }
                if wants(.groundAnswer) {
                    _ = try ground(image, text, answer: longestAnswer, decoder, layer: configuration.fusionLayer)
                }
            }
        }
    }

    /// A text of zeros.
    private func sample(tokens: Int) -> EncodedText {
        EncodedText(
            ids: [Int32](repeating: 0, count: tokens), tokens: [Float](repeating: 0, count: tokens * model.text.width),
            feature: nil)
    }

    /// The ids of texts that fill a batch, the longest first.
    private func fullBatch() -> [[Int32]] {
        stride(from: 0, to: rowLimit, by: textLimit).map {
            [Int32](repeating: 0, count: min(textLimit, rowLimit - $0))
        }
    }

    /// Lengths of texts, together a full batch, for as many pictures as are fused at one time without being projected; the
    /// first as long as such a text can be.
    private func absorbedPairs(_ longest: Int) -> [Int] {
        var counts: [Int] = []
        for left in stride(from: ForwardPass.picturesTogether, to: 0, by: -1) {
            let rows = rowLimit - counts.reduce(0, +)
            counts.append(min(longest, counts.isEmpty ? rows - left + 1 : rows / left))
        }
        return counts.filter { $0 > 0 }
    }

    /// Text tokens of zeros.
    private func zeros(_ counts: [Int]) -> [[Float]] {
        counts.filter { $0 > 0 }.map { [Float](repeating: 0, count: $0 * model.text.width) }
    }

    /// As many candidates as are scored, whose distinct prefixes fill a batch of rows, if so few can.
    private func largestAnswers() -> AnswerList {
        let words = model.configuration.vocabSize
        // Numbers in the base of the vocabulary's size differ as early as tokens can.
        let texts = (0..<Session.scoredAnswers).map { number in
            var rest = number
            return (1..<max(1, textLimit)).map { _ in
                defer { rest /= words }
                return Int32(rest % words)
            }
        }.sorted { $0.lexicographicallyPrecedes($1) }
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        var tree = AnswerTree(rows: rowLimit, candidates: texts.count, longest: textLimit + 1, in: arena)
        var ids: [[Int32]] = []
        for text in texts {
            let candidate = [0] + text + [0]
            let kept = candidate.count - max(0, tree.rows + tree.growth(candidate) - rowLimit)
            ids.append(candidate.prefix(kept - 1) + [0])
            _ = tree.add(ids[ids.count - 1])
        }
        return AnswerList(answers: ids.map { _ in "" }, ids: ids)
    }
}
