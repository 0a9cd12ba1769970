import AlbefTensor

/// Which class a text falls into, seen with one picture or two.
public struct Classification: Sendable, Equatable {
    /// Names of the classes, in the order of the head's outputs.
    public let classes: [String]
    /// The head's output for each class.
    public let logits: [Float]
    /// Softmax of the logits: of each class, 0…1.
    public let probabilities: [Float]

    /// The class of the greatest logit; of equal ones the first.
    public var label: String {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        return classes[best]
    }
}

extension Session {
    /// Visual entailment: whether a picture contradicts a sentence, leaves it open or entails it.
    ///
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)``, ``AlbefError/otherClasses(path:head:tensor:found:)``,
    ///   ``AlbefError/nonFinite(stage:)``.
    /// - Source: ALBEF, arXiv:2107.07651, its `model_ve.py`.
    public func entail(_ image: EncodedImage, _ text: EncodedText) throws(AlbefError) -> Classification {
        try entail(image, [text])[0]
    }

    /// Visual entailment of many sentences by one picture; each result equals that of the sentence alone.
    public func entail(_ image: EncodedImage, _ texts: [EncodedText]) throws(AlbefError) -> [Classification] {
        try classify([image], texts, .entailment)
    }

    /// NLVR2 reasoning: whether a sentence is true of two pictures. Their order matters.
    ///
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)``, ``AlbefError/otherClasses(path:head:tensor:found:)``,
    ///   ``AlbefError/nonFinite(stage:)``.
    /// - Source: ALBEF, arXiv:2107.07651, its `model_nlvr.py`.
    public func reason(_ left: EncodedImage, _ right: EncodedImage, _ text: EncodedText) throws(AlbefError)
        -> Classification
    {
        try reason(left, right, [text])[0]
    }

    /// NLVR2 reasoning over many sentences about two pictures; each result equals that of the sentence alone.
    public func reason(_ left: EncodedImage, _ right: EncodedImage, _ texts: [EncodedText]) throws(AlbefError)
        -> [Classification]
    {
        try classify([left, right], texts, .reasoning)
    }

    private func classify(_ images: [EncodedImage], _ texts: [EncodedText], _ kind: Head) throws(AlbefError)
        -> [Classification]
    {
        let longest = texts.lazy.map(\.ids.count).max() ?? 0
        return try pass(tokens: longest) { pass throws(AlbefError) in
            guard let head = pass.model.classification, head.kind == kind else { throw pass.model.missing(kind) }
            var results: [Classification] = []
            for batch in pass.batches(texts.map(\.ids.count)) {
                results += try pass.classify(images, texts[batch].map(\.tokens), head)
            }
            return results
        }
    }
}

extension ForwardPass {
    /// Fuses texts with the pictures, at most ``rowLimit`` tokens together, and classifies each by its fused class token.
    func classify(_ images: [EncodedImage], _ texts: [[Float]], _ head: ClassificationHead) throws(AlbefError)
        -> [Classification]
    {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts(texts)
        let classes = head.kind.classes
        let logits = reserveResults(texts.count, classes.count)
        let probabilities = reserveResults(texts.count, classes.count)
        let scenes = [(images: images, texts: texts.count)]
        try computing { () throws(AlbefError) in
            let tokens = classTokens(states, sequences, scenes)
            for index in texts.indices {
                let row = logits.rows(index..<index + 1)
                head(tokens.rows(index..<index + 1), to: row, in: work)
                try checkFinite(row, head.stage)
                work.observe(head.stage, row.reshaped(Shape(classes.count)))
            }
            work.kernels.softmax(logits, to: probabilities, in: arena)
        }
        return texts.indices.map { index in
            let row = index..<index + 1
            return Classification(
                classes: classes, logits: arena.read(logits.rows(row)), probabilities: arena.read(probabilities.rows(row)))
        }
    }
}
