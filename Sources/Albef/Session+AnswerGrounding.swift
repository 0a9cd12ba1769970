import AlbefImage
import AlbefLayers
import AlbefTensor

/// Which region of a picture made an answer: Grad-CAM of the answer's score.
public struct AnswerGrounding: Sendable {
    /// The layer of the question encoder whose cross-attention was looked at.
    public let layer: Int
    /// The score that was differentiated; equal to ``Answer/score``.
    public let score: Float
    /// `[tokens, rows, columns]`: a map for each token of the question, `[CLS]` first; unscaled.
    public let tokenMaps: [Float]
    /// The mean over all tokens, `[CLS]` included.
    public let heatmap: Heatmap
    /// The words of the question in order.
    public let words: [Grounding.Word]
}

extension Session {
    /// Finds where in a picture an answer to a question comes from.
    ///
    /// The gradient of `log p(first token) + log p(all tokens)` runs through the answer decoder to the question states, and
    /// down the question encoder to the cross-attention of one layer.
    ///
    /// - Parameters:
    ///   - question: Encoded from a text prepared as a question.
    ///   - answer: Any text, taken as a candidate of ``Model/answerList(_:)``.
    ///   - layer: nil for the model's own choice (`gradcam_layer`); else one of ``Model/gradCAMLayers``.
    /// - Throws: ``AlbefError/layerOutOfRange(found:valid:)``, ``AlbefError/missingHead(path:head:tensor:)``,
    ///   ``AlbefError/longAnswer(_:tokens:limit:)``, ``AlbefError/nonFinite(stage:)``.
    public func groundAnswer(_ image: EncodedImage, _ question: EncodedText, answer: String, layer: Int? = nil)
        throws(AlbefError) -> AnswerGrounding
    {
        let chosen = try model.gradCAMLayer(layer)
        let ids = try model.answerList([answer]).ids[0]
        return try pass(tokens: max(question.ids.count, ids.count)) { pass throws(AlbefError) in
            guard let decoder = pass.model.decoder else { throw pass.model.missing(.answering) }
            return try pass.ground(image, question, answer: ids, decoder, layer: chosen)
        }
    }
}

extension ForwardPass {
    /// - Parameter answer: `[CLS]`, the answer's pieces, `[SEP]`.
    func ground(
        _ image: EncodedImage, _ question: EncodedText, answer: [Int32], _ decoder: AnswerDecoder, layer: Int
    ) throws(AlbefError) -> AnswerGrounding {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, _) = placeTexts([question.tokens])
        let side = model.configuration.patchGrid
        let map = work.reserve(Shape(states.rows, model.vision.tokens - 1))
        let picture = placeForGradient(image, tokens: states.rows)
        let inputs = fuse(states, picture, keepingFrom: layer)
        try checkFinite(states, "fusion_tokens")
        let gradient = place([Float](repeating: 0, count: states.shape.count), states.shape)
        let score = try self.gradient(of: answer, states, decoder, addingTo: gradient)
        try tokenMaps(of: gradient, inputs, picture, layer: layer, stage: "vqa_gradcam", to: map)
        return AnswerGrounding(
            layer: layer, score: score, tokenMaps: arena.read(map), heatmap: mean(map, side: side),
            words: words(of: question.ids, map, side: side))
    }

    /// Adds the gradient of an answer's score at the question states to `gradient`, `[tokens, width]`.
    ///
    /// - Returns: The score.
    func gradient(
        of answer: [Int32], _ states: TensorView, _ decoder: AnswerDecoder, addingTo gradient: TensorView
    ) throws(AlbefError) -> Float {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        // Row t of the sequence predicts token t + 1, so the last token is never fed.
        let rows = answer.count - 1
        let ids = place(Array(answer.dropLast()), Shape(rows))
        let targets = place(Array(answer.dropFirst()), Shape(rows))
        // The first token counts twice. Being causal, row 0 is what the decoder makes of [CLS] alone.
        let weights = place([2] + [Float](repeating: 1, count: rows - 1), Shape(rows))
        let logs = work.reserve(Shape(rows))
        let decoded = work.reserve(Shape(rows, decoder.width))
        let g = work.reserve(decoded.shape)
        let records = decoder.decodeRecording(
            ids, question: decoder.keysValues(states, in: work), to: decoded, in: work)
        for start in stride(from: 0, to: rows, by: ForwardPass.logitRows) {
            let part = start..<min(start + ForwardPass.logitRows, rows)
            decoder.head.gradient(
                decoded.rows(part), ids: targets.elements(part), weights: weights.elements(part), logs: logs.elements(part),
                to: g.rows(part), in: work)
        }
        let total = work.reserve(Shape(1))
        work.kernels.sum(logs, to: total, in: arena)
        let score = work.reserve(Shape(1, 1))
        work.kernels.add(
            logs.elements(0..<1).reshaped(Shape(1, 1)), total.reshaped(Shape(1, 1)), to: score, in: arena)
        try checkFinite(score, "vqa_answer_scores")
        decoder.backward(g, records: records, addingTo: gradient, in: work)
        return arena.element(0, of: score)
    }
}
