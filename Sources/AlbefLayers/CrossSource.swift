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
    private let first: Int
    fileprivate var past: Int
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
    /// Rows of short texts at one picture that are computed together, so that there is work for every thread.
    private static let absorbedRows = 64

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
                let parts = merged(parts, in: work.arena)
                let projection = projection(for: parts, in: work)
                for index in 0..<parts.count {
                    let part = parts[index]
                    switch part.source {
                    case .projected(let source):
                        source.attend(q.rows(part.rows), heads: block.heads, to: context.rows(part.rows), in: work)
                    case .absorbed(let tokens):
                        guard let projection else { preconditionFailure("a part absorbs a projection that was not made") }
                        work.arena.scoped {
                            let mixed = reserveRows(part.rows.count, width: tokens.width, in: work)
                            work.arena.scoped {
                                let queries = absorb(q.rows(part.rows), projection, in: work)
                                attend(queries, tokens, to: mixed, in: work)
                            }
                            project(mixed, to: context.rows(part.rows), in: work)
                        }
                    }
                }
                if let record { block.probabilities(record, in: work) }
            }
            block.finish(context, residual: x, record: record?.norm, to: y, in: work)
        }
    }

    /// Attends with every row of `x` to each of several sources: queries, and what they absorb, are made once.
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
                var absorbed: TensorView?
                for index in 0..<sources.count {
                    let part = context.rows(index * x.rows..<(index + 1) * x.rows)
                    switch sources[index] {
                    case .projected(let source):
                        source.attend(q, heads: block.heads, to: part, in: work)
                    case .absorbed(let tokens):
                        let queries = absorbed ?? absorb(q, absorbedProjection(in: work), in: work)
                        absorbed = queries
                        work.arena.scoped {
                            let mixed = reserveRows(x.rows, width: tokens.width, in: work)
                            attend(queries, tokens, to: mixed, in: work)
                            project(mixed, to: part, in: work)
                        }
                    }
                }
            }
            let residual = work.reserve(y.shape)
            for index in 0..<sources.count {
                work.arena.copy(x, to: residual.rows(index * x.rows..<(index + 1) * x.rows))
            }
            block.finish(context, residual: residual, record: nil, to: y, in: work)
        }
    }

    /// Joins neighbours that attend to the same tokens.
    private func merged(_ parts: some IndexedValues<CrossPart>, in arena: Arena) -> ArenaList<CrossPart> {
        var result: ArenaList<CrossPart> = arena.list(capacity: parts.count)
        for index in 0..<parts.count {
            let part = parts[index]
            if result.count > 0, case .absorbed(let tokens) = part.source {
                var last = result[result.count - 1]
                if case .absorbed(let before) = last.source, before == tokens, last.rows.upperBound == part.rows.lowerBound,
                    last.rows.count + part.rows.count <= CrossAttention.absorbedRows
                {
                    last.past = part.rows.upperBound
                    result[result.count - 1] = last
                    continue
                }
            }
            result.append(part)
        }
        return result
    }

    /// What queries absorb, made once for all parts; nil where none of them does.
    private func projection(for parts: ArenaList<CrossPart>, in work: Workspace) -> AbsorbedProjection? {
        for index in 0..<parts.count {
            if case .absorbed = parts[index].source { return absorbedProjection(in: work) }
        }
        return nil
    }

    private func absorbedProjection(in work: Workspace) -> AbsorbedProjection {
        guard case .int8(let keys) = block.key.weight else { preconditionFailure("a layer absorbs int8 projections only") }
        return work.kernels.absorbedProjection(of: keys, heads: block.heads, in: work.arena)
    }

    /// Queries `q`, `[rows, width]`, taken to where the keys' inputs are: `[heads * rows, source width]`.
    private func absorb(_ q: TensorView, _ projection: AbsorbedProjection, in work: Workspace) -> TensorView {
        let queries = reserveRows(q.rows, width: projection.depth, in: work)
        work.kernels.absorb(q, projection, room: joined(q.rows), to: queries, in: work.arena)
        return queries
    }

    /// Rows for which memory is taken: as many as are joined at most, so that a plan holds however texts are joined.
    private func joined(_ rows: Int) -> Int { max(rows, CrossAttention.absorbedRows) }

    /// `[heads * rows, width]`.
    private func reserveRows(_ rows: Int, width: Int, in work: Workspace) -> TensorView {
        work.reserve(Shape(block.heads * joined(rows), width)).rows(0..<block.heads * rows)
    }

    /// Mixes the tokens themselves, for queries that absorbed the keys' projection; both `[heads * rows, source width]`.
    ///
    /// The bias of the keys would move all scores of a row alike, and so drops out of the softmax.
    private func attend(
        _ queries: TensorView, _ tokens: QuantizedKeysValues, to mixed: TensorView, in work: Workspace
    ) {
        work.kernels.attention(
            queries, tokens, heads: 1, scale: Kernels.attentionScale(width: block.width / block.heads), to: mixed,
            in: work.arena)
    }

    /// Applies the values' projection to mixed tokens: `[rows, width]`. The weights of a softmax sum to 1, so the bias is
    /// added once.
    private func project(_ mixed: TensorView, to context: TensorView, in work: Workspace) {
        guard case .int8(let values) = block.value.weight else { preconditionFailure("a layer absorbs int8 projections only") }
        work.arena.scoped {
            work.kernels.linear(
                work.kernels.quantizeRows(mixed, in: work.arena), values, heads: block.heads, bias: block.value.bias,
                to: context, in: work.arena)
        }
    }
}
