import AlbefLayers
import AlbefTensor

/// How well a picture and a text go together.
public struct Match: Sendable, Equatable {
    /// Cosine of the two features, -1…1; nil for a model without contrastive head.
    public let similarity: Float?
    /// Probability that they belong together, 0…1.
    public let match: Float
    /// The matching head's logit for "match", by which candidates are ranked.
    public let itmLogit: Float
}

extension Session {
    /// Compares a picture with a text by cosine of their features, and by the matching head on the fused tokens.
    ///
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)``, ``AlbefError/nonFinite(stage:)``.
    public func match(_ image: EncodedImage, _ text: EncodedText) throws(AlbefError) -> Match {
        try match(image, [text])[0]
    }

    /// Compares a picture with many texts; each result equals that of the text alone. The picture's keys and values are
    /// computed once for many texts.
    public func match(_ image: EncodedImage, _ texts: [EncodedText]) throws(AlbefError) -> [Match] {
        let longest = texts.lazy.map(\.ids.count).max() ?? 0
        return try pass(tokens: longest) { pass throws(AlbefError) in
            guard let head = pass.model.matching else { throw pass.model.missing(.matching) }
            let features = texts.compactMap(\.feature)
            var similarities: [Float]?
            if let feature = image.feature, features.count == texts.count {
                similarities = pass.similarities(feature, features)
            }
            var results: [Match] = []
            for batch in pass.batches(texts.map(\.ids.count)) {
                let scores = try pass.match(image, texts[batch].map(\.tokens), head)
                for (index, score) in zip(batch, scores) {
                    results.append(
                        Match(similarity: similarities?[index], match: score.probability, itmLogit: score.logit))
                }
            }
            return results
        }
    }

    /// Compares a text with many pictures; each result equals that of the picture alone. Pairs are fused together, so that
    /// weights are read once for several.
    public func match(_ images: [EncodedImage], _ text: EncodedText) throws(AlbefError) -> [Match] {
        try pass(tokens: text.ids.count) { pass throws(AlbefError) in
            guard let head = pass.model.matching else { throw pass.model.missing(.matching) }
            let features = images.compactMap(\.feature)
            var similarities: [Float]?
            if let feature = text.feature, features.count == images.count {
                similarities = pass.similarities(feature, features)
            }
            var results: [Match] = []
            let limit = pass.pictureLimit(tokens: text.ids.count)
            for start in stride(from: 0, to: images.count, by: limit) {
                let batch = start..<min(start + limit, images.count)
                let scores = try pass.match(
                    batch.map { ([images[$0]], 1) }, Array(repeating: text.tokens, count: batch.count), sameText: true, head)
                for (index, score) in zip(batch, scores) {
                    results.append(
                        Match(similarity: similarities?[index], match: score.probability, itmLogit: score.logit))
                }
            }
            return results
        }
    }

    /// Cosines of one feature with many.
    ///
    /// - Parameter feature: Of an ``EncodedImage`` or an ``EncodedText``; so are `others`.
    public func similarities(_ feature: [Float], _ others: [[Float]]) throws(AlbefError) -> [Float] {
        try pass { pass throws(AlbefError) in
            guard pass.model.contrastive != nil else { throw pass.model.missing(.contrastive) }
            return pass.similarities(feature, others)
        }
    }
}

extension ForwardPass {
    /// Features compared in one product at most.
    static let similarityRows = 256

    func similarities(_ feature: [Float], _ others: [[Float]]) -> [Float] {
        var result: [Float] = []
        result.reserveCapacity(others.count)
        for start in stride(from: 0, to: others.count, by: ForwardPass.similarityRows) {
            let part = others[start..<min(start + ForwardPass.similarityRows, others.count)]
            arena.scoped {
                let one = place(feature, Shape(1, feature.count))
                let many = place(part.flatMap { $0 }, Shape(part.count, feature.count))
                let cosines = work.reserve(Shape(1, part.count))
                computing { work.kernels.product(one, transposed: false, many, transposed: true, to: cosines, in: arena) }
                result += arena.read(cosines)
            }
        }
        return result
    }

    /// Pictures that are in memory at one time when each has a text of its own, quantised once for all layers.
    static let picturesTogether = 16

    /// Pictures that a text of `tokens` is fused with at one time: several where no layer projects them to keys and values.
    func pictureLimit(tokens: Int) -> Int {
        model.text.projects(tokens: tokens) ? 1 : max(1, min(ForwardPass.picturesTogether, rowLimit / max(1, tokens)))
    }

    /// Fuses texts with one picture and scores them, at most ``rowLimit`` tokens together.
    func match(_ image: EncodedImage, _ texts: [[Float]], _ head: MatchingHead) throws(AlbefError)
        -> [(logit: Float, probability: Float)]
    {
        try match([([image], texts.count)], texts, head)
    }

    /// Fuses texts with pictures and scores the pairs, at most ``rowLimit`` tokens together.
    ///
    /// - Parameters:
    ///   - scenes: Pictures, and how many of the texts look at them, in the order of the texts.
    ///   - sameText: True where all texts are the same, so that less is computed.
    func match(
        _ scenes: [(images: [EncodedImage], texts: Int)], _ texts: [[Float]], sameText: Bool = false, _ head: MatchingHead
    ) throws(AlbefError) -> [(logit: Float, probability: Float)] {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts(texts, sameText: sameText)
        let logits = reserveResults(texts.count, 2), probabilities = reserveResults(texts.count, 2)
        try computing { () throws(AlbefError) in
            let tokens = classTokens(states, sequences, scenes)
            for text in texts.indices {
                let row = text..<text + 1
                try score(tokens.rows(row), head, logits: logits.rows(row), probabilities: probabilities.rows(row))
            }
        }
        return texts.indices.map { (arena.element(2 * $0 + 1, of: logits), arena.element(2 * $0 + 1, of: probabilities)) }
    }

    /// Lays text tokens one after another.
    func placeTexts(_ texts: [[Float]], sameText: Bool = false) -> (states: TensorView, sequences: Sequences) {
        let width = model.text.width
        let sequences = Sequences(texts.map { $0.count / width }, sameText: sameText)
        let states = work.reserve(Shape(sequences.rows, width))
        for (text, rows) in zip(texts, sequences.ranges) { arena.write(text.span, to: states.rows(rows)) }
        return (states, sequences)
    }

    /// Replaces text tokens by fused tokens, and gives back everything else that it reserved.
    func fuse(_ states: TensorView, _ sequences: Sequences, _ images: [EncodedImage]) {
        arena.scoped {
            let scenes = place(one: images, texts: sequences.ranges.count, sequences)
            model.text.fuse(states, sequences: sequences.ranges, scenes: scenes, in: work)
        }
        work.observe("fusion_tokens", states)
    }

    /// The fused class token of each text, `[texts, width]`, which is all that the heads on it read. Whoever observes the pass
    /// sees all fused tokens, and the same bytes of these.
    ///
    /// - Parameters:
    ///   - states: Text tokens; left without meaning.
    ///   - scenes: Pictures, and how many of the texts look at them, in the order of the texts.
    func classTokens(
        _ states: TensorView, _ sequences: Sequences, _ scenes: [(images: [EncodedImage], texts: Int)]
    ) -> TensorView {
        // Room for texts of one token each, so that a plan for so many rows holds for any number of texts.
        let tokens = work.reserve(states.shape).rows(0..<sequences.ranges.count)
        arena.scoped {
            let scenes = place(scenes, sequences)
            if showsAllTokens {
                model.text.fuse(
                    states, sequences: sequences.ranges, scenes: scenes, oneText: sequences.oneText, in: work)
                copyFirstRows(of: states, sequences, to: tokens)
            } else {
                model.text.fuse(
                    states, sequences: sequences.ranges, scenes: scenes, oneText: sequences.oneText, classTokens: tokens,
                    in: work)
            }
        }
        if showsAllTokens { work.observe("fusion_tokens", states) }
        return tokens
    }

    /// The first row of each text, one after another.
    func copyFirstRows(of states: TensorView, _ sequences: Sequences, to firsts: TensorView) {
        for text in sequences.ranges.indices {
            let first = sequences.ranges[text].lowerBound
            arena.copy(states.rows(first..<first + 1), to: firsts.rows(text..<text + 1))
        }
    }

    /// Pictures as the fusion layers read them, until the caller releases them.
    private func place(
        _ scenes: [(images: [EncodedImage], texts: Int)], _ sequences: Sequences
    ) -> TextEncoder.Scenes {
        var count = 0
        for scene in scenes.indices { count += scenes[scene].images.count }
        var result = TextEncoder.Scenes(scenes.count, pictures: count, in: arena)
        for scene in scenes.indices { place(scenes[scene].images, texts: scenes[scene].texts, sequences, in: &result) }
        return result
    }

    /// As the general form, for pictures that all texts look at.
    private func place(one images: [EncodedImage], texts: Int, _ sequences: Sequences) -> TextEncoder.Scenes {
        var result = TextEncoder.Scenes(1, pictures: images.count, in: arena)
        place(images, texts: texts, sequences, in: &result)
        return result
    }

    private func place(
        _ images: [EncodedImage], texts: Int, _ sequences: Sequences, in scenes: inout TextEncoder.Scenes
    ) {
        scenes.begin(texts: texts)
        for image in images.indices {
            scenes.add(
                model.text.picture(images[image], for: sequences.ranges, scenes.texts(of: scenes.count - 1), in: work))
        }
    }

    /// The matching head on the fused class token of one text, `[1, width]`; `logits` and `probabilities` are `[1, 2]`.
    func score(
        _ token: TensorView, _ head: MatchingHead, logits: TensorView, probabilities: TensorView
    ) throws(AlbefError) {
        head(token, to: logits, in: work)
        try checkFinite(logits, "itm_logits")
        work.observe("itm_logits", logits.reshaped(Shape(2)))
        work.kernels.softmax(logits, to: probabilities, in: arena)
    }

    /// Word logits, `[tokens, vocabulary]`, of every fused token; for the trace.
    func maskedLanguage(_ image: EncodedImage, _ text: EncodedText, _ head: LanguageHead) throws(AlbefError) {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts([text.tokens])
        fuse(states, sequences, [image])
        let logits = work.reserve(Shape(states.rows, head.outputs))
        head(states, to: logits, in: work)
        try checkFinite(logits, "mlm_logits")
        work.observe("mlm_logits", logits)
    }
}
