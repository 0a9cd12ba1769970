import AlbefKernels
import AlbefLayers
import AlbefModelFile
import AlbefTensor

/// The causal decoder that scores answers: every layer attends to the answer so far and to the question states (the fused
/// tokens of picture and question).
///
/// - Source: ALBEF, arXiv:2107.07651, section 5 (VQA).
struct AnswerDecoder: Sendable {
    let embeddings: Embeddings
    let layers: [EncoderLayer]
    let head: LanguageHead
    private let prefix = "text_decoder"

    init(_ file: ModelFile) throws(ModelFileError) {
        let configuration = file.configuration
        let width = configuration.textWidth
        embeddings = try Embeddings(
            file, prefix + ".embeddings", vocabulary: configuration.vocabSize, positions: configuration.maxPositions,
            width: width)
        var layers: [EncoderLayer] = []
        for index in 0..<configuration.decoderLayers {
            layers.append(
                try EncoderLayer(
                    file, prefix + ".encoder.layer.\(index)", width: width, heads: configuration.textHeads, causal: true,
                    source: EncoderLayer.Source(width: width, arithmetic: .float32)))
        }
        self.layers = layers
        head = try LanguageHead(file, prefix + ".cls.predictions", words: embeddings.words)
    }

    /// Width of a token.
    var width: Int { embeddings.width }
    /// Entries of the vocabulary.
    var vocabulary: Int { head.outputs }

    /// Projects the question states, `[tokens, width]`, for every layer, once for all candidates. They stay in the arena
    /// until the caller releases them.
    func keysValues(_ states: TensorView, in work: Workspace) -> [KeysValues] {
        let source = SharedRows(
            states, quantizing: layers.contains { $0.crossAttention?.quantizesSource == true }, in: work)
        return layers.compactMap { $0.crossAttention?.keysValues(source, in: work) }
    }

    /// Decodes sequences, each from its first token on.
    ///
    /// - Parameters:
    ///   - ids: Int32 `[rows]`: the sequences one after another.
    ///   - sequences: The rows of each.
    ///   - question: From ``keysValues(_:in:)``.
    ///   - x: `[rows, width]`: row t of a sequence predicts its token t + 1.
    func decode(
        _ ids: TensorView, sequences: [Range<Int>], question: [KeysValues], to x: TensorView, in work: Workspace
    ) {
        for rows in sequences { embeddings(ids.elements(rows), to: x.rows(rows), in: work) }
        for (index, (layer, keysValues)) in zip(layers, question).enumerated() {
            layer(x, sequences: sequences, source: keysValues, to: x, in: work)
            work.observe("\(prefix).encoder.layer.\(index)", x)
        }
    }

    /// Writes `[rows, vocabulary]` logits of decoded tokens.
    func logits(_ x: TensorView, to logits: TensorView, in work: Workspace) { head(x, to: logits, in: work) }
}
