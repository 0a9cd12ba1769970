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
        let (states, sequences) = placeTexts([question.tokens])
        let heatmaps = reserveHeatmaps(question.ids)
        let decoded = [0..<answer.count - 1]
        var score: Float = 0
        try computing { () throws(AlbefError) in
            let scene = placeForGradient(image, sequences)
            let inputs = fuse(states, sequences, scene, keepingFrom: layer)
            try checkFinite(states, "fusion_tokens")
            let gradient = work.reserve(states.shape)
            arena.clear(gradient)
            score = try self.gradient(of: answer, sequence: decoded, states, decoder, addingTo: gradient)
            try tokenMaps(of: gradient, sequences, inputs, scene, layer: layer, stage: "vqa_gradcam", to: heatmaps)
        }
        return AnswerGrounding(
            layer: layer, score: score, tokenMaps: arena.read(heatmaps.tokens), heatmap: heatmap(heatmaps.all.rows(0..<1)),
            words: words(heatmaps))
    }

    /// Adds the gradient of an answer's score at the question states to `gradient`, `[tokens, width]`.
    ///
    /// - Parameter sequence: The rows that are decoded, as one range: all tokens of the answer but the last.
    /// - Returns: The score.
    func gradient(
        of answer: [Int32], sequence: [Range<Int>], _ states: TensorView, _ decoder: AnswerDecoder,
        addingTo gradient: TensorView
    ) throws(AlbefError) -> Float {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        // Row t of the sequence predicts token t + 1, so the last token is never fed.
        let rows = answer.count - 1
        let ids = arena.reserve(Shape(rows), .int32)
        let targets = arena.reserve(Shape(rows), .int32)
        let weights = work.reserve(Shape(rows))
        for row in 0..<rows {
            arena.set(row, of: ids, to: answer[row])
            arena.set(row, of: targets, to: answer[row + 1])
            // The first token counts twice. Being causal, row 0 is what the decoder makes of [CLS] alone.
            arena.set(row, of: weights, to: Float(row == 0 ? 2 : 1))
        }
        let logs = work.reserve(Shape(rows))
        let decoded = work.reserve(Shape(rows, decoder.width))
        let g = work.reserve(decoded.shape)
        let records = decoder.decodeRecording(
            ids, sequence: sequence, question: decoder.keysValues(states, in: work), to: decoded, in: work)
        var start = 0
        while start < rows {
            let part = start..<min(start + ForwardPass.logitRows, rows)
            start = part.upperBound
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
