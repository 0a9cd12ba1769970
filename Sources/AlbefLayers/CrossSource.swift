import AlbefKernels
import AlbefTensor

/// What the rows of a text attend to in a cross-attention.
public enum CrossSource: BitwiseCopyable {
    /// Keys and values that the layer projected from the other sequence.
    case projected(KeysValues)
    /// The tokens of the other sequence themselves, as keys and values of one head of their width: the projection of the keys
    /// is absorbed into the queries, that of the values is applied to the mixed tokens.
    case absorbed(QuantizedKeysValues)
}

/// The tokens of a picture in the forms in which cross-attentions read them; made once for all layers and texts.
public struct ImageTokens: BitwiseCopyable {
    /// For layers that project them to keys and values; nil where no text needs that.
    public let rows: SharedRows?
    /// For layers that absorb their projections; nil where no text's layers do.
    public let quantized: QuantizedKeysValues?

    public init(rows: SharedRows?, quantized: QuantizedKeysValues?) {
        self.rows = rows
        self.quantized = quantized
    }
}

/// Neighbouring rows and what they attend to.
public struct CrossPart: BitwiseCopyable {
    private let first, past: Int
    /// Of all of these rows.
    public let source: CrossSource

    /// Of some matrix.
    public var rows: Range<Int> { first..<past }

    public init(rows: Range<Int>, source: CrossSource) {
        (first, past) = (rows.lowerBound, rows.upperBound)
        self.source = source
    }
}

extension CrossAttention {
    /// Whether a text of `tokens` attends to `sourceTokens` with absorbed projections.
    ///
    /// That form is another algorithm with a rounding of its own, so the choice may depend only on the text's true length,
    /// the other shapes and the model file: not on the batch, on how many of the rows are wanted, or on the machine. The form
    /// with fewer products is taken. With T tokens, S source tokens, H heads, D and V columns of a text row and a source row:
    ///
    ///     projected: K and V are projected    2·S·V·D   scores and mixing  2·T·S·D
    ///     absorbed:  queries and mixed rows   2·T·V·D   scores and mixing  2·H·T·S·V
    ///
    /// Only int8 models with heads and a source width of whole packed blocks have the absorbed form.
    public func absorbs(tokens: Int, sourceTokens: Int) -> Bool {
        guard arithmetic == .int8, block.key.isInt8, block.value.isInt8,
            Kernels.absorbs(channels: block.width, depth: block.key.inputs, heads: block.heads),
            block.key.inputs <= QuantizedKeysValues.maximumLength
        else { return false }
        let width = block.width, sourceWidth = block.key.inputs
        let projected = 2 * sourceTokens * sourceWidth * width + 2 * tokens * sourceTokens * width
        let absorbed = 2 * tokens * sourceWidth * width + 2 * block.heads * tokens * sourceTokens * sourceWidth
        return absorbed < projected
    }

    /// Attends with every row of `x`; rows are independent of each other.
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`.
    ///   - parts: Rows and what they attend to; together all rows of `x`, in ascending order.
    ///   - record: Filled where given (its keys and values are there already); the bytes of `y` stay the same.
    ///   - y: `[rows, width]`, not `x`.
    public func callAsFunction(
        _ x: TensorView, parts: some IndexedValues<CrossPart>, record: AttentionRecord? = nil,
        to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let context = work.reserve(x.shape)
            work.arena.scoped {
                let q = record?.queries ?? work.reserve(x.shape)
                block.query(x, to: q, in: work)
                var groups: ArenaList<AbsorbedGroup> = work.arena.list(capacity: parts.count)
                for index in 0..<parts.count {
                    let part = parts[index], first = part.rows.lowerBound
                    switch part.source {
                    case .projected(let source):
                        source.attend(q.rows(part.rows), heads: block.heads, to: context.rows(part.rows), in: work)
                    case .absorbed(let tokens):
                        groups.append(AbsorbedGroup(query: first, row: first, rows: part.rows.count, tokens: tokens))
                    }
                }
                attend(q, groups, to: context, in: work)
                if let record { block.probabilities(record, in: work) }
            }
            block.finish(context, residual: x, record: record?.norm, to: y, in: work)
        }
    }

    /// Attends with every row of `x` to each of several sources: queries are made once.
    ///
    /// - Parameters:
    ///   - x: `[tokens, width]`.
    ///   - y: `[sources * tokens, width]`, not `x`: all rows with the first source, with the second and so on; the bytes of
    ///     ``callAsFunction(_:parts:record:to:in:)`` for each.
    public func callAsFunction(
        _ x: TensorView, each sources: some IndexedValues<CrossSource>, to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let context = work.reserve(y.shape)
            work.arena.scoped {
                let q = work.reserve(x.shape)
                block.query(x, to: q, in: work)
                var groups: ArenaList<AbsorbedGroup> = work.arena.list(capacity: sources.count)
                for index in 0..<sources.count {
                    let first = index * x.rows
                    switch sources[index] {
                    case .projected(let source):
                        source.attend(q, heads: block.heads, to: context.rows(first..<first + x.rows), in: work)
                    case .absorbed(let tokens):
                        groups.append(AbsorbedGroup(query: 0, row: first, rows: x.rows, tokens: tokens))
                    }
                }
                attend(q, groups, to: context, in: work)
            }
            let residual = work.reserve(y.shape)
            for index in 0..<sources.count {
                work.arena.copy(x, to: residual.rows(index * x.rows..<(index + 1) * x.rows))
            }
            block.finish(context, residual: residual, record: nil, to: y, in: work)
        }
    }

    /// Attends with rows of `q` to tokens themselves; `q` and `context` `[rows, width]`.
    private func attend(
        _ q: TensorView, _ groups: ArenaList<AbsorbedGroup>, to context: TensorView, in work: Workspace
    ) {
        if groups.isEmpty { return }
        guard case .int8(let keys) = block.key.weight, case .int8(let values) = block.value.weight else {
            preconditionFailure("a layer absorbs int8 projections only")
        }
        work.arena.scoped {
            work.kernels.absorbedAttention(
                q, work.kernels.absorbedProjection(of: keys, heads: block.heads, in: work.arena), values: values,
                bias: block.value.bias, groups: groups, to: context, in: work.arena)
        }
    }
}
