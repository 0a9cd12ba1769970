import AlbefModelFile

/// How many multiply-adds a stage takes by the published algorithm, and how many bytes of weights it reads.
///
/// The counts are of the *projected, plain* form, whatever form the runtime takes: cross-attention projects all image tokens to
/// keys and values for every layer and every pair, all tokens go through the last layer, every answer is decoded by itself. So
/// a rate, and a share of a peak, compares with that of another runtime that does the same job; where less is computed for
/// the same result, the rate may exceed what the machine can multiply.
///
///     linear(rows, K inputs, N channels)        rows · K · N
///     attention(T queries, S keys, width W)     2 · T · S · W     (scores, and the mix of values)
///
/// Embeddings, norms, activations, softmax and heads of a row or two (under a thousandth of a stage) are not counted. At the
/// published size: 55.5 · 10⁹ for the image encoder, 1.28 · 10⁹ for 30 tokens of text, 5.74 · 10⁹ for a pair's fusion.
public struct Workload: Sendable, Equatable {
    /// Multiply-adds.
    public let multiplyAdds: Int
    /// Bytes of weights, each counted once: what memory must deliver at least when no cache holds them.
    public let weightBytes: Int

    public init(multiplyAdds: Int, weightBytes: Int) {
        self.multiplyAdds = multiplyAdds
        self.weightBytes = weightBytes
    }

    /// Both stages, one after the other.
    public static func + (a: Workload, b: Workload) -> Workload {
        Workload(multiplyAdds: a.multiplyAdds + b.multiplyAdds, weightBytes: a.weightBytes + b.weightBytes)
    }

    /// The stage for many inputs; its weights are read once.
    public func times(_ count: Int) -> Workload {
        Workload(multiplyAdds: multiplyAdds * count, weightBytes: weightBytes)
    }

    /// The seconds that a machine takes at least: to multiply, or to read the weights, whichever is longer.
    ///
    /// - Parameters:
    ///   - peak: Multiply-adds a second.
    ///   - bandwidth: Bytes a second.
    public func floor(peak: Double, bandwidth: Double) -> Double {
        max(Double(multiplyAdds) / peak, Double(weightBytes) / bandwidth)
    }
}

/// Multiply-adds by a model's sizes; see ``Workload`` for what is counted.
extension ModelConfiguration {
    /// Of the image encoder for one picture: patches, then for each block queries, keys and values (3 W²), the projection (W²),
    /// the MLP (8 W²) for each token, and the attention.
    public var imageEncoderMultiplyAdds: Int {
        let patches = patchGrid * patchGrid * 3 * patchSize * patchSize * visionWidth
        let tokens = imageTokens, width = visionWidth
        return patches + visionLayers * (tokens * 12 * width * width + attention(tokens, tokens, width))
    }

    /// Of text mode: the layers below the fusion layer, for one text.
    public func textEncoderMultiplyAdds(tokens: Int) -> Int { fusionLayer * textLayer(tokens) }

    /// Of the fusion layers for one text. Each looks at one picture: queries and output (2 H²) for each token, keys and values
    /// (2 W·H) for each image token, and the attention. That holds for two pictures too, which the layers take in turn.
    public func fusionMultiplyAdds(tokens: Int) -> Int {
        (textLayers - fusionLayer) * (textLayer(tokens) + crossAttention(tokens, imageTokens, visionWidth))
    }

    /// Of ranking answers: for each decoder layer the question states' keys and values once, and every row's products; then
    /// the word logits of every row.
    ///
    /// - Parameters:
    ///   - question: Tokens of the question.
    ///   - answers: Rows decoded for each scored answer: its tokens without `[SEP]`, behind which nothing is predicted. One
    ///     more row, `[CLS]` alone, chooses the answers that are scored.
    public func answeringMultiplyAdds(question: Int, answers: [Int]) -> Int {
        let sourceOnce = decoderLayers * 2 * question * textWidth * textWidth
        return sourceOnce
            + ([1] + answers).reduce(0) { sum, rows in
                let layer = textLayer(rows) + 2 * rows * textWidth * textWidth + attention(rows, question, textWidth)
                return sum + decoderLayers * layer + wordLogitsMultiplyAdds(rows: rows)
            }
    }

    /// Of the masked-language head: the transform (H²) and a product with all word embeddings for each row.
    public func wordLogitsMultiplyAdds(rows: Int) -> Int { rows * (textWidth + vocabSize) * textWidth }

    /// A BERT layer without cross-attention: queries, keys, values and output (4 H²) and the feed-forward block (8 H²).
    private func textLayer(_ tokens: Int) -> Int {
        tokens * 12 * textWidth * textWidth + attention(tokens, tokens, textWidth)
    }

    private func crossAttention(_ tokens: Int, _ source: Int, _ sourceWidth: Int) -> Int {
        2 * tokens * textWidth * textWidth + 2 * source * sourceWidth * textWidth + attention(tokens, source, textWidth)
    }

    private func attention(_ queries: Int, _ keys: Int, _ width: Int) -> Int { 2 * queries * keys * width }
}

extension Model {
    /// The image encoder, for one picture.
    public var imageEncoderWorkload: Workload {
        Workload(
            multiplyAdds: configuration.imageEncoderMultiplyAdds,
            weightBytes: bytes { $0.hasPrefix("visual_encoder.") || $0.hasPrefix("vision_proj.") })
    }

    /// Text mode, for one text. Of the word embeddings only the text's rows are read.
    public func textEncoderWorkload(tokens: Int) -> Workload {
        Workload(
            multiplyAdds: configuration.textEncoderMultiplyAdds(tokens: tokens),
            weightBytes: bytes { layer($0).map { $0 < configuration.fusionLayer } ?? $0.hasPrefix("text_proj.") })
    }

    /// The fusion layers with the heads that read their class token, for one text and its picture or pictures.
    public func fusionWorkload(tokens: Int) -> Workload {
        Workload(
            multiplyAdds: configuration.fusionMultiplyAdds(tokens: tokens),
            weightBytes: bytes {
                layer($0).map { $0 >= configuration.fusionLayer } ?? ($0.hasPrefix("itm_head.") || $0.hasPrefix("cls_head."))
            })
    }

    /// The answer decoder, for some scored candidates of a list.
    ///
    /// - Parameter scored: Their places in the list, such as ``Answer/index``.
    public func answeringWorkload(question: Int, _ candidates: AnswerList, scored: [Int]) -> Workload {
        Workload(
            multiplyAdds: configuration.answeringMultiplyAdds(
                question: question, answers: scored.map { candidates.ids[$0].count - 1 }),
            weightBytes: bytes { $0.hasPrefix("text_decoder.") && !$0.contains(".position_embeddings.") })
    }

    /// The masked-language head, for some rows.
    public func wordLogitsWorkload(rows: Int) -> Workload {
        Workload(
            multiplyAdds: configuration.wordLogitsMultiplyAdds(rows: rows),
            weightBytes: bytes {
                $0.hasPrefix("text_encoder.cls.") || $0.hasPrefix("text_encoder.embeddings.word_embeddings.")
            })
    }

    private func bytes(_ isRead: (String) -> Bool) -> Int {
        file.tensors.reduce(0) { isRead($1.name) ? $0 + $1.byteCount : $0 }
    }

    /// The layer of the text encoder that a tensor belongs to; nil for all others.
    private func layer(_ name: String) -> Int? {
        let prefix = "text_encoder.encoder.layer."
        guard name.hasPrefix(prefix) else { return nil }
        return Int(name.dropFirst(prefix.count).prefix { $0 != "." })
    }
}
