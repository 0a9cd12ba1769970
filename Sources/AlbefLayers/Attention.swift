import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// BERT's attention block: queries from a row, keys and values from a sequence, output projection, residual, LayerNorm.
///
///     y = LayerNorm(Wo · attention(x Wqᵀ, s Wkᵀ, s Wvᵀ) + x)
///
/// ``SelfAttention`` and ``CrossAttention`` differ in where the sequence `s` comes from.
///
/// - Shapes: `x`, `y` `[rows, width]`; `s` `[tokens, source width]`; heads lie one after another within a row.
/// - Source: BERT, arXiv:1810.04805; ALBEF, arXiv:2107.07651.
struct AttentionBlock: Sendable {
    let query: Linear
    let key: Linear
    let value: Linear
    let output: Linear
    let norm: LayerNorm
    let heads: Int

    /// - Parameter keysValues: The block under whose name `self.key` and `self.value` stand; nil for this block's own.
    init(
        _ file: ModelFile, _ prefix: String, keysValues: String? = nil, width: Int, sourceWidth: Int, heads: Int
    ) throws(ModelFileError) {
        let shared = keysValues ?? prefix
        query = try Linear(file, prefix + ".self.query", inputs: width, outputs: width)
        key = try Linear(file, shared + ".self.key", inputs: sourceWidth, outputs: width)
        value = try Linear(file, shared + ".self.value", inputs: sourceWidth, outputs: width)
        output = try Linear(file, prefix + ".output.dense", inputs: width, outputs: width)
        norm = try LayerNorm(file, prefix + ".output.LayerNorm", width: width, epsilon: 1e-12)
        self.heads = heads
    }

    var width: Int { query.outputs }

    /// Queries, keys and values of the same rows, which are quantised once; all `[rows, width]`.
    func project(_ x: TensorView, queries: TensorView, keys: TensorView, values: TensorView, in work: Workspace) {
        work.arena.scoped {
            SharedRows(x, for: query, key, value, in: work).project(
                query, to: queries, key, to: keys, value, to: values, in: work)
        }
    }

    /// The output projection, the residual and the norm.
    func finish(
        _ context: TensorView, residual x: TensorView, record: LayerNorm.Record?, to y: TensorView, in work: Workspace
    ) {
        output(context, residual: x, to: y, in: work)
        norm(y, record: record, to: y, in: work)
    }

    /// From the gradient `g` at the block's output: `u`, the gradient at "projection + residual", and its way back through
    /// the projection, `mixed`. All `[rows, width]`.
    func backwardOutput(
        _ g: TensorView, _ record: LayerNorm.Record, residual u: TensorView, mixed: TensorView, in work: Workspace
    ) {
        norm.backward(g, record, to: u, in: work)
        output.backward(u, to: mixed, in: work)
    }
}

/// What a forward pass through an attention block leaves for the gradient.
public struct AttentionRecord: BitwiseCopyable {
    /// `[rows, width]`.
    public let queries: TensorView
    /// `[tokens, width]`.
    public let keys: TensorView
    /// `[tokens, width]`.
    public let values: TensorView
    /// `[heads, rows, tokens]`, after the softmax, in float form; 0 where a query does not see a key.
    public let probabilities: TensorView
    /// Of the block's LayerNorm.
    public let norm: LayerNorm.Record
}

/// Self-attention over a text, float32 in every model: texts are short, and a causal decoder must not see later tokens.
public struct SelfAttention: Sendable {
    let block: AttentionBlock
    /// True where a token sees only itself and those before it.
    public let causal: Bool

    /// Heads, of equal width.
    public var heads: Int { block.heads }

    /// Takes `PREFIX.self.{query,key,value}` and `PREFIX.output.{dense,LayerNorm}` from a file.
    public init(_ file: ModelFile, _ prefix: String, width: Int, heads: Int, causal: Bool) throws(ModelFileError) {
        block = try AttentionBlock(file, prefix, width: width, sourceWidth: width, heads: heads)
        self.causal = causal
    }

    /// Attends within each of the sequences that lie one after another in `x`.
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`.
    ///   - sequences: The rows of each sequence; together all rows of `x`.
    ///   - record: Filled where given, for one sequence; the bytes of `y` stay the same.
    ///   - y: `[rows, width]`, not `x`.
    public func callAsFunction(
        _ x: TensorView, sequences: [Range<Int>], record: AttentionRecord? = nil, to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let context = work.reserve(x.shape)
            work.arena.scoped {
                let q = record?.queries ?? work.reserve(x.shape)
                let k = record?.keys ?? work.reserve(x.shape)
                let v = record?.values ?? work.reserve(x.shape)
                block.project(x, queries: q, keys: k, values: v, in: work)
                if let record {
                    precondition(sequences.count == 1)
                    work.kernels.attention(
                        q, k, v, heads: block.heads, causal: causal, probabilities: record.probabilities, to: context,
                        in: work.arena)
                } else {
                    var groups = AttentionGroups(capacity: sequences.count, in: work.arena)
                    for index in sequences.indices { groups.append(queries: sequences[index], keys: sequences[index]) }
                    work.kernels.attention(
                        q, k, v, groups: groups, heads: block.heads, causal: causal, to: context, in: work.arena)
                }
            }
            block.finish(context, residual: x, record: record?.norm, to: y, in: work)
        }
    }

    /// The first row of each sequence alone, with the bytes that it has among the others: the rest serves as keys and values.
    ///
    /// - Parameters:
    ///   - sequences: As for all rows.
    ///   - firsts: `[sequences, width]`: the first rows of `x`.
    ///   - record: Filled where given, for one sequence; the bytes of `y` stay the same.
    ///   - y: `[sequences, width]`.
    func callAsFunction(
        _ x: TensorView, sequences: [Range<Int>], firsts: TensorView, record: AttentionRecord? = nil, to y: TensorView,
        in work: Workspace
    ) {
        work.arena.scoped {
            let context = work.reserve(firsts.shape)
            work.arena.scoped {
                let q = record?.queries ?? work.reserve(firsts.shape)
                let k = record?.keys ?? work.reserve(x.shape)
                let v = record?.values ?? work.reserve(x.shape)
                block.query(firsts, to: q, in: work)
                work.arena.scoped {
                    let shared = SharedRows(x, for: block.key, block.value, in: work)
                    block.key(shared, to: k, in: work)
                    block.value(shared, to: v, in: work)
                }
                if let record {
                    precondition(sequences.count == 1)
                    work.kernels.attention(
                        q, k, v, heads: block.heads, probabilities: record.probabilities, to: context, in: work.arena)
                } else {
                    var groups = AttentionGroups(capacity: sequences.count, in: work.arena)
                    for index in sequences.indices { groups.append(queries: index..<index + 1, keys: sequences[index]) }
                    work.kernels.attention(q, k, v, groups: groups, heads: block.heads, to: context, in: work.arena)
                }
            }
            block.finish(context, residual: firsts, record: record?.norm, to: y, in: work)
        }
    }

    /// Room for what the gradient of one sequence of `tokens` needs, of which `rows` are computed: all, or the first alone.
    func reserveRecord(tokens: Int, rows: Int, in work: Workspace) -> AttentionRecord {
        let shape = Shape(tokens, block.width)
        return AttentionRecord(
            queries: work.reserve(Shape(rows, block.width)), keys: work.reserve(shape), values: work.reserve(shape),
            probabilities: work.reserve(Shape(block.heads, rows, tokens)),
            norm: LayerNorm.Record(rows: rows, width: block.width, in: work))
    }

    /// The gradient at the input of a recorded pass, `[tokens, width]`, from the gradient `g` at its output, `[rows, width]`
    /// of all tokens or of the first alone. `x` is not `g`.
    public func backward(_ g: TensorView, _ record: AttentionRecord, to x: TensorView, in work: Workspace) {
        if g.rows < x.rows { return firstBackward(g, record, to: x, in: work) }
        work.arena.scoped {
            let mixed = work.reserve(g.shape)
            block.backwardOutput(g, record.norm, residual: x, mixed: mixed, in: work)
            let scores = work.reserve(record.probabilities.shape)
            block.backwardScores(mixed, record, to: scores, in: work)
            let part = work.reserve(g.shape)
            work.kernels.attentionBackwardQueries(scores, keys: record.keys, to: part, in: work.arena)
            block.query.backward(part, accumulate: true, to: x, in: work)
            work.kernels.attentionBackwardKeys(scores, queries: record.queries, to: part, in: work.arena)
            block.key.backward(part, accumulate: true, to: x, in: work)
            work.kernels.attentionBackwardValues(
                record.probabilities, outputGradient: mixed, to: part, in: work.arena)
            block.value.backward(part, accumulate: true, to: x, in: work)
        }
    }

    /// The gradient when only the first token's is not zero at the output: the same sums in the same order.
    private func firstBackward(_ g: TensorView, _ record: AttentionRecord, to x: TensorView, in work: Workspace) {
        work.arena.scoped {
            let own = work.reserve(g.shape), mixed = work.reserve(g.shape), part = work.reserve(x.shape)
            block.backwardOutput(g, record.norm, residual: own, mixed: mixed, in: work)
            let scores = work.reserve(record.probabilities.shape)
            block.backwardScores(mixed, record, to: scores, in: work)
            let queries = part.rows(0..<g.rows), first = x.rows(0..<g.rows)
            work.kernels.attentionBackwardQueries(scores, keys: record.keys, to: queries, in: work.arena)
            block.query.backward(queries, accumulate: true, to: own, in: work)
            work.kernels.attentionBackwardKeys(scores, queries: record.queries, to: part, in: work.arena)
            block.key.backward(part, to: x, in: work)
            work.kernels.add(own, first, to: first, in: work.arena)
            work.kernels.attentionBackwardValues(
                record.probabilities, outputGradient: mixed, to: part, in: work.arena)
            block.value.backward(part, accumulate: true, to: x, in: work)
        }
    }
}

/// Cross-attention of text rows to another sequence: image tokens in the fusion encoder, question states in the answer
/// decoder.
public struct CrossAttention: Sendable {
    let block: AttentionBlock
    /// How scores and values are computed.
    public let arithmetic: AttentionArithmetic

    /// Takes `PREFIX.self.{query,key,value}` and `PREFIX.output.{dense,LayerNorm}` from a file.
    ///
    /// - Parameter keysValues: Another block's prefix, where the two share the projections of keys and values.
    public init(
        _ file: ModelFile, _ prefix: String, keysValues: String? = nil, width: Int, sourceWidth: Int, heads: Int,
        arithmetic: AttentionArithmetic
    ) throws(ModelFileError) {
        block = try AttentionBlock(
            file, prefix, keysValues: keysValues, width: width, sourceWidth: sourceWidth, heads: heads)
        self.arithmetic = arithmetic
    }

    /// True when the projections of the source read quantised rows.
    public var quantizesSource: Bool { block.key.isInt8 || block.value.isInt8 }

    /// Projects a sequence to keys and values, once for all texts that attend to it. They stay in the arena until the
    /// caller releases them.
    ///
    /// - Parameters:
    ///   - source: `[tokens, source width]`, quantised once for the layers that read it.
    ///   - arithmetic: nil for the layer's own; float32 for keys and values of which only a gradient is taken.
    public func keysValues(
        _ source: SharedRows, arithmetic: AttentionArithmetic? = nil, in work: Workspace
    ) -> KeysValues {
        let shape = Shape(source.rows.rows, block.width)
        let keys = work.reserve(shape)
        let values = work.reserve(shape)
        block.key(source, to: keys, in: work)
        block.value(source, to: values, in: work)
        return KeysValues(
            keys: keys, values: values, heads: block.heads, arithmetic: arithmetic ?? self.arithmetic, in: work)
    }

    /// Room for what the gradient of `rows` text rows needs; keys and values are those of `source`, not copied.
    func reserveRecord(rows: Int, source: KeysValues, in work: Workspace) -> AttentionRecord {
        AttentionRecord(
            queries: work.reserve(Shape(rows, block.width)), keys: source.keys, values: source.values,
            probabilities: work.reserve(Shape(block.heads, rows, source.keys.rows)),
            norm: LayerNorm.Record(rows: rows, width: block.width, in: work))
    }

    /// The gradient at the text input of a recorded pass, `[rows, width]` like `g`; `x` is not `g`.
    ///
    /// - Parameter source: `[tokens, source width]`: the gradient at the source is added to it where given.
    public func backward(
        _ g: TensorView, _ record: AttentionRecord, addingToSource source: TensorView? = nil, to x: TensorView,
        in work: Workspace
    ) {
        work.arena.scoped {
            let mixed = work.reserve(g.shape)
            block.backwardOutput(g, record.norm, residual: x, mixed: mixed, in: work)
            let scores = work.reserve(record.probabilities.shape)
            block.backwardScores(mixed, record, to: scores, in: work)
            if let source {
                work.arena.scoped {
                    let part = work.reserve(record.keys.shape)
                    work.kernels.attentionBackwardKeys(scores, queries: record.queries, to: part, in: work.arena)
                    block.key.backward(part, accumulate: true, to: source, in: work)
                    work.kernels.attentionBackwardValues(
                        record.probabilities, outputGradient: mixed, to: part, in: work.arena)
                    block.value.backward(part, accumulate: true, to: source, in: work)
                }
            }
            work.kernels.attentionBackwardQueries(scores, keys: record.keys, to: mixed, in: work.arena)
            block.query.backward(mixed, accumulate: true, to: x, in: work)
        }
    }

    /// The gradient at the attention probabilities themselves, `[heads, rows, tokens]`: what Grad-CAM is made of.
    public func backwardProbabilities(
        _ g: TensorView, _ record: AttentionRecord, to gradient: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let residual = work.reserve(g.shape)
            let mixed = work.reserve(g.shape)
            block.backwardOutput(g, record.norm, residual: residual, mixed: mixed, in: work)
            work.kernels.attentionBackwardProbabilities(
                mixed, v: record.values, heads: block.heads, to: gradient, in: work.arena)
        }
    }
}

extension AttentionBlock {
    /// Writes a record's probabilities from its queries and keys, in float form: what the gradient is taken of, whatever
    /// arithmetic the layer itself uses.
    func probabilities(_ record: AttentionRecord, in work: Workspace) {
        work.arena.scoped {
            let unused = work.reserve(record.queries.shape)
            work.kernels.attention(
                record.queries, record.keys, record.values, heads: heads, probabilities: record.probabilities, to: unused,
                in: work.arena)
        }
    }

    /// The gradient at the unscaled scores, `[heads, rows, tokens]`, from `mixed`, the gradient at the mixed values.
    func backwardScores(_ mixed: TensorView, _ record: AttentionRecord, to scores: TensorView, in work: Workspace) {
        work.kernels.attentionBackwardProbabilities(
            mixed, v: record.values, heads: heads, to: scores, in: work.arena)
        work.kernels.attentionBackwardScores(
            scores, probabilities: record.probabilities, scale: Kernels.attentionScale(width: width / heads),
            to: scores, in: work.arena)
    }
}
