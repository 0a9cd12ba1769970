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
    /// True when a layer reads the question states in quantised form.
    private let quantizesQuestion: Bool
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
        quantizesQuestion = layers.contains { $0.crossAttention?.quantizesSource == true }
        head = try LanguageHead(file, prefix + ".cls.predictions", words: embeddings.words)
    }

    /// Width of a token.
    var width: Int { embeddings.width }
    /// Entries of the vocabulary.
    var vocabulary: Int { head.outputs }

    /// Projects the question states, `[tokens, width]`, for every layer, once for all candidates. They stay in the arena
    /// until the caller releases them.
    func keysValues(_ states: TensorView, in work: Workspace) -> ArenaList<KeysValues> {
        let source = SharedRows(states, quantizing: quantizesQuestion, in: work)
        var result = work.arena.list(of: KeysValues.self, capacity: layers.count)
        for index in layers.indices {
            if let attention = layers[index].crossAttention { result.append(attention.keysValues(source, in: work)) }
        }
        return result
    }

    /// Decodes the branches of a tree: tokens that several sequences begin with are decoded once for all of them. Row for
    /// row the bytes are those of each sequence alone.
    ///
    /// - Parameters:
    ///   - ids: Int32 `[rows]`.
    ///   - branches: Together all rows.
    ///   - before: Of the tokens before all branches, a layer each, as `keeping` got them; nil where there are none.
    ///   - keeping: Receives keys and values of all rows, `[rows, width]`, a layer each; nil to keep none.
    ///   - question: From ``keysValues(_:in:)``.
    ///   - x: `[rows, width]`: each row predicts the token behind it.
    func decode(
        _ ids: TensorView, branches: Branches, after before: ArenaList<KeysValues>? = nil,
        keeping: ArenaList<KeysValues>? = nil, question: ArenaList<KeysValues>, to x: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let places = work.arena.reserve(ids.shape, .int32)
            for index in 0..<branches.count {
                let branch = branches[index]
                for row in branch.rows {
                    work.arena.set(row, of: places, to: Int32(branches.before + branch.depth + row - branch.rows.lowerBound))
                }
            }
            embeddings(ids, at: places, to: x, in: work)
        }
        for index in layers.indices {
            layers[index](
                x, branches: branches, after: before.map { $0[index] }, keeping: keeping.map { $0[index] },
                source: question[index], to: x, in: work)
            work.observe("\(prefix).encoder.layer.\(index)", x)
        }
    }

    /// Room for keys and values of `rows` tokens, a layer each, until the caller releases it.
    func reserveKeysValues(rows: Int, in work: Workspace) -> ArenaList<KeysValues> {
        var result = work.arena.list(of: KeysValues.self, capacity: layers.count)
        for index in layers.indices {
            result.append(
                KeysValues(
                    keys: work.reserve(Shape(rows, width)), values: work.reserve(Shape(rows, width)),
                    heads: layers[index].selfAttention.heads, arithmetic: .float32, in: work))
        }
        return result
    }

    /// Writes `[rows, vocabulary]` logits of decoded tokens.
    func logits(_ x: TensorView, to logits: TensorView, in work: Workspace) { head(x, to: logits, in: work) }
}
