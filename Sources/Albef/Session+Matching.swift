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
                work.kernels.product(one, transposed: false, many, transposed: true, to: cosines, in: arena)
                result += arena.read(cosines)
            }
        }
        return result
    }

    /// Fuses texts with one picture and scores them, at most ``rowLimit`` tokens together.
    func match(_ image: EncodedImage, _ texts: [[Float]], _ head: MatchingHead) throws(AlbefError)
        -> [(logit: Float, probability: Float)]
    {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts(texts)
        fuse(states, sequences, [image])
        var results: [(logit: Float, probability: Float)] = []
        for rows in sequences.ranges {
            results.append(try score(states.rows(rows), head))
        }
        return results
    }

    /// Lays text tokens one after another.
    func placeTexts(_ texts: [[Float]]) -> (states: TensorView, sequences: Sequences) {
        let width = model.text.width
        let sequences = Sequences(texts.map { $0.count / width })
        let states = work.reserve(Shape(sequences.rows, width))
        for (text, rows) in zip(texts, sequences.ranges) { arena.write(text.span, to: states.rows(rows)) }
        return (states, sequences)
    }

    /// Replaces text tokens by fused tokens, and gives back everything else that it reserved.
    func fuse(_ states: TensorView, _ sequences: Sequences, _ images: [EncodedImage]) {
        arena.scoped {
            let tokens = images.map { place($0.tokens, Shape(model.vision.tokens, model.vision.width)) }
            model.text.fuse(states, sequences: sequences.ranges, images: tokens, in: work)
        }
        work.observe("fusion_tokens", states)
    }

    /// The matching head on fused tokens of one text, `[tokens, width]`.
    func score(_ states: TensorView, _ head: MatchingHead) throws(AlbefError) -> (logit: Float, probability: Float) {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let logits = work.reserve(Shape(1, 2))
        let probabilities = work.reserve(Shape(1, 2))
        head(states.rows(0..<1), to: logits, in: work)
        try checkFinite(logits, "itm_logits")
        work.observe("itm_logits", logits.reshaped(Shape(2)))
        work.kernels.softmax(logits, to: probabilities, in: arena)
        return (arena.element(1, of: logits), arena.element(1, of: probabilities))
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
