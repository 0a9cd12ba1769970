import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// One layer of a BERT stack: self-attention, cross-attention where the layer has it, feed-forward; each with residual and
/// LayerNorm behind it (post-norm).
///
/// Sequences of several texts lie one after another as rows of one matrix: every step but self-attention works on rows,
/// so a text gives the same bytes alone and among others.
///
/// - Source: ALBEF, arXiv:2107.07651, its `xbert.py`; BERT, arXiv:1810.04805.
public struct EncoderLayer: Sendable {
    /// `attention`.
    public let selfAttention: SelfAttention
    /// `crossattention`, in layers that read another sequence.
    public let crossAttention: CrossAttention?
    /// `intermediate` and `output`.
    public let feedForward: FeedForward

    /// What a layer attends to beside its own text.
    public struct Source: Sendable {
        /// Width of the sequence's rows.
        public let width: Int
        /// How the cross-attention is computed.
        public let arithmetic: AttentionArithmetic
        /// The layer under whose prefix the projections of keys and values stand; nil for the layer's own.
        public let keysValues: String?

        public init(width: Int, arithmetic: AttentionArithmetic, keysValues: String? = nil) {
            self.width = width
            self.arithmetic = arithmetic
            self.keysValues = keysValues
        }
    }

    /// Takes the layer's weights below `prefix` (such as `text_encoder.encoder.layer.3`) from a file.
    ///
    /// - Parameter source: nil for a layer without cross-attention.
    public init(
        _ file: ModelFile, _ prefix: String, width: Int, heads: Int, causal: Bool = false, source: Source?
    ) throws(ModelFileError) {
        selfAttention = try SelfAttention(file, prefix + ".attention", width: width, heads: heads, causal: causal)
        if let source {
            crossAttention = try CrossAttention(
                file, prefix + ".crossattention", keysValues: source.keysValues.map { $0 + ".crossattention" }, width: width,
                sourceWidth: source.width, heads: heads, arithmetic: source.arithmetic)
        } else {
            crossAttention = nil
        }
        feedForward = try FeedForward(file, prefix, width: width, hidden: 4 * width)
    }

    /// Runs the layer.
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`.
    ///   - sequences: The rows of each text.
    ///   - sources: What each text's cross-attention looks at; empty for a layer without one.
    ///   - record: Filled where given (one text only); the bytes of `y` stay the same.
    ///   - y: `[rows, width]`; may be `x`.
    public func callAsFunction(
        _ x: TensorView, sequences: [Range<Int>], sources: some IndexedValues<CrossSource> = [CrossSource](),
        record: Record? = nil, to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let own = work.reserve(x.shape)
            selfAttention(x, sequences: sequences, record: record?.selfAttention, to: own, in: work)
            var parts: ArenaList<CrossPart> = work.arena.list(capacity: sources.count)
            for text in 0..<sources.count { parts.append(CrossPart(rows: sequences[text], source: sources[text])) }
            finish(own, parts: parts, record: record, to: y, in: work)
        }
    }

    /// Runs the layer for one text that looks at each of several sources: what comes before it looks is the same for all of
    /// them and computed once. A source gives the same bytes as alone.
    ///
    /// - Parameters:
    ///   - x: `[tokens, width]`.
    ///   - sequence: Its rows, as one range.
    ///   - sources: What the cross-attention, which the layer has, looks at.
    ///   - y: `[sources * tokens, width]`: the text with the first source, with the second and so on; may begin with `x`.
    public func callAsFunction(
        _ x: TensorView, sequence: [Range<Int>], lookingAtEachOf sources: some IndexedValues<CrossSource>, to y: TensorView,
        in work: Workspace
    ) {
        guard let crossAttention else { preconditionFailure("a layer without cross-attention looks at nothing") }
        work.arena.scoped {
            let own = work.reserve(x.shape)
            selfAttention(x, sequences: sequence, to: own, in: work)
            let fused = work.reserve(y.shape)
            crossAttention(own, each: sources, to: fused, in: work)
            feedForward(fused, to: y, in: work)
        }
    }

    /// Runs the layer for the first row of each text alone, with the bytes that it has when all rows are computed.
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`.
    ///   - sequences: The rows of each text.
    ///   - sources: What each text's cross-attention looks at; empty for a layer without one.
    ///   - record: Filled where given (one text only); the bytes of `y` stay the same.
    ///   - y: `[texts, width]`, not `x`.
    public func firstRows(
        _ x: TensorView, sequences: [Range<Int>], sources: some IndexedValues<CrossSource> = [CrossSource](),
        record: Record? = nil, to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let firsts = work.reserve(y.shape)
            let own = work.reserve(y.shape)
            for text in sequences.indices {
                let first = sequences[text].lowerBound
                work.arena.copy(x.rows(first..<first + 1), to: firsts.rows(text..<text + 1))
            }
            selfAttention(x, sequences: sequences, firsts: firsts, record: record?.selfAttention, to: own, in: work)
            var parts: ArenaList<CrossPart> = work.arena.list(capacity: sources.count)
            for text in 0..<sources.count { parts.append(CrossPart(rows: text..<text + 1, source: sources[text])) }
            finish(own, parts: parts, record: record, to: y, in: work)
        }
    }

    /// What follows the self-attention.
    ///
    /// - Parameter parts: Rows and what they look at; empty for a layer without cross-attention.
    func finish(
        _ own: TensorView, parts: ArenaList<CrossPart>, record: Record?, to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            if let crossAttention, !parts.isEmpty {
                let fused = work.reserve(own.shape)
                crossAttention(own, parts: parts, record: record?.crossAttention, to: fused, in: work)
                feedForward(fused, record: record?.feedForward, to: y, in: work)
            } else {
                feedForward(own, record: record?.feedForward, to: y, in: work)
            }
        }
    }

    /// What a forward pass of one text leaves for the gradient.
    public struct Record: BitwiseCopyable {
        /// Of the self-attention.
        public let selfAttention: AttentionRecord
        /// Of the cross-attention, in layers that have one.
        public let crossAttention: AttentionRecord?
        /// Of the feed-forward block.
        public let feedForward: FeedForward.Record
    }

    /// Room for what the gradient of one text of `tokens` needs; it stays in the arena until the caller releases it.
    ///
    /// - Parameter rows: Rows that are computed: nil for all, 1 for ``firstRows(_:sequences:sources:record:to:in:)``.
    public func reserveRecord(tokens: Int, rows: Int? = nil, source: KeysValues?, in work: Workspace) -> Record {
        let rows = rows ?? tokens
        var cross: AttentionRecord?
        if let crossAttention, let source {
            cross = crossAttention.reserveRecord(rows: rows, source: source, in: work)
        }
        return Record(
            selfAttention: selfAttention.reserveRecord(tokens: tokens, rows: rows, in: work), crossAttention: cross,
            feedForward: feedForward.reserveRecord(rows: rows, in: work))
    }

    /// The gradient at the input of a recorded pass, `[tokens, width]`, from the gradient `g` at its output, `[rows, width]`.
    /// `x` may be `g`, or begin with it.
    ///
    /// - Parameter source: `[source tokens, source width]`: the gradient at what the cross-attention reads is added to it
    ///   where given.
    public func backward(
        _ g: TensorView, _ record: Record, addingToSource source: TensorView? = nil, to x: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let a = work.reserve(g.shape)
            feedForward.backward(g, record.feedForward, to: a, in: work)
            if let crossAttention, let cross = record.crossAttention {
                let b = work.reserve(g.shape)
                crossAttention.backward(a, cross, addingToSource: source, to: b, in: work)
                selfAttention.backward(b, record.selfAttention, to: x, in: work)
            } else {
                selfAttention.backward(a, record.selfAttention, to: x, in: work)
            }
        }
    }

    /// The gradient at the cross-attention probabilities of a recorded pass, `[heads, tokens, source tokens]`, from the
    /// gradient `g` at the layer's output. False, and nothing written, for a layer without cross-attention.
    public func backwardCrossProbabilities(
        _ g: TensorView, _ record: Record, to gradient: TensorView, in work: Workspace
    ) -> Bool {
        guard let crossAttention, let cross = record.crossAttention else { return false }
        work.arena.scoped {
            let a = work.reserve(g.shape)
            feedForward.backward(g, record.feedForward, to: a, in: work)
            crossAttention.backwardProbabilities(a, cross, to: gradient, in: work)
        }
        return true
    }
}
