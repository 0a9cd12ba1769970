import AlbefTensor
import CAlbefKernels

/// A projection of keys, transposed head by head: queries meet it as the inputs of a linear layer, and its outputs meet what
/// the keys were projected from.
public struct AbsorbedProjection: Sendable {
    /// Number of heads.
    public let heads: Int
    /// Columns of one head's queries (d).
    public let width: Int
    /// Inputs of the projection (K).
    public let depth: Int
    /// Int8 `[heads * K/16, d/4, 16, 4]`, flat.
    let values: TensorView
    /// Float32 `[heads * K]`: 1, since the queries take the scales of the projection.
    let scales: TensorView
    /// Int32 `[heads * K]`: sums over a head's channels.
    let columnSums: TensorView
    /// Float32 `[heads * d]`: the scales of the projection, which multiply the queries.
    let factors: ConstantTensor
}

/// Neighbouring rows that attend to the same tokens.
public struct AbsorbedGroup: BitwiseCopyable {
    /// The first of the rows among the queries, which groups may share.
    public let query: Int
    /// The first of the rows among the results.
    public let row: Int
    /// How many there are, at least 1.
    public let rows: Int
    /// One head as wide as a token.
    public let tokens: QuantizedKeysValues

    /// Rows from `query` on attend to `tokens` and make the rows from `row` on.
    public init(query: Int, row: Int, rows: Int, tokens: QuantizedKeysValues) {
        (self.query, self.row, self.rows, self.tokens) = (query, row, rows, tokens)
    }
}

/// Attention whose keys and values are the tokens themselves: the projection of the keys is absorbed into the queries before,
/// that of the values is applied to the mixed tokens behind.
extension Kernels {
    /// Transposes the projection of keys for ``absorbedAttention(_:_:values:bias:groups:to:in:)``.
    ///
    /// - Parameter weight: N output channels and K inputs that ``absorbs(channels:depth:heads:)``.
    /// - Returns: Tensors in `arena`, reserved there for as long as the caller's mark.
    public func absorbedProjection(of weight: PackedInt8Matrix, heads: Int, in arena: Arena) -> AbsorbedProjection {
        precondition(Kernels.absorbs(channels: weight.channels, depth: weight.depth, heads: heads))
        let result = AbsorbedProjection(
            heads: heads, width: weight.channels / heads, depth: weight.depth,
            values: arena.reserve(Shape(weight.channels * weight.depth), .int8),
            scales: arena.reserve(Shape(heads * weight.depth)),
            columnSums: arena.reserve(Shape(heads * weight.depth), .int32), factors: weight.scales)
        if arena.isPlanning { return result }
        // Safe: the shapes were checked above, a packed matrix holds as much as its layout says, and the arena checks that
        // the views lie inside of it.
        unsafe alb_transpose_heads_int8(
            isa.code, threadCount, heads, weight.channels, weight.depth, weight.values.signedBytes,
            arena.signedBytes(result.values), arena.floats(result.scales), arena.integers(result.columnSums))
        return result
    }

    /// Int8 attention to tokens that are keys and values themselves, with the projections around it:
    ///
    ///     y = Wv · softmax((q · Wk) · xᵀ * scale) · x + bias     for each head, a block of d columns, scale 1/√d
    ///
    /// - Parameters:
    ///   - q: Float32, rows of `heads * d`, strided.
    ///   - projection: Of the keys, from ``absorbedProjection(of:heads:in:)``.
    ///   - values: Of the values: K inputs, `heads * d` channels.
    ///   - bias: Float32 `[heads * d]`. The weights of a softmax sum to 1, so it is added once. (A bias of the keys would move
    ///     all scores of a row alike, and so drops out.)
    ///   - groups: Which rows of `q` attend to what, and which rows of `y` they make, in ascending order of these.
    ///   - y: Float32, rows of `heads * d`, strided; overlaps no input.
    ///
    /// Bits: a row depends on its own query, the projections and the tokens that it attends to alone; the order is written in
    /// `alb_absorbed_attention.h`.
    public func absorbedAttention(
        _ q: TensorView, _ projection: AbsorbedProjection, values: PackedInt8Matrix, bias: ConstantTensor,
        groups: ArenaList<AbsorbedGroup>, to y: TensorView, in arena: Arena
    ) {
        let channels = projection.heads * projection.width
        precondition(values.channels == channels && values.depth == projection.depth)
        q.requireMatrix(q.rows, channels)
        y.requireMatrix(y.rows, channels)
        bias.requireVector(channels)
        if groups.isEmpty { return }
        arena.scoped {
            var tokens = 0, next = 0
            for index in 0..<groups.count {
                let group = groups[index]
                precondition(group.tokens.heads == 1 && group.tokens.width == projection.depth)
                precondition(group.rows > 0 && group.query >= 0 && group.query + group.rows <= q.rows)
                // Ascending, so that no two groups write the same row.
                precondition(group.row >= next && group.row + group.rows <= y.rows)
                next = group.row + group.rows
                tokens = max(tokens, group.tokens.tokens)
            }
            let size = alb_absorbed_attention_scratch_bytes(threadCount, tokens, projection.width, projection.depth)
            let scratch = arena.reserve(Shape(size), .uint8)
            if arena.isPlanning { return }
            // Safe: the shapes were checked above, a packed matrix holds as much as its layout says, and the arena checks that
            // the views lie inside of it.
            var list: ArenaList<alb_absorbed_group> = unsafe arena.list(capacity: groups.count)
            for index in 0..<groups.count {
                let group = groups[index]
                unsafe list.append(
                    alb_absorbed_group(
                        query: group.query, row: group.row, rows: group.rows, tokens: keysValues(group.tokens, in: arena)))
            }
            var arguments = unsafe alb_absorbed_attention_args(
                heads: projection.heads, width: projection.width, depth: projection.depth, q: arena.floats(q),
                q_row: q.rowStride, keys: arena.signedBytes(projection.values), key_scales: arena.floats(projection.scales),
                key_sums: arena.integers(projection.columnSums), key_factors: projection.factors.floats,
                values: values.values.signedBytes, value_scales: values.scales.floats,
                value_sums: values.columnSums.integers, value_bias: bias.floats,
                scale: Kernels.attentionScale(width: projection.width), count: groups.count, groups: list.pointer,
                dst: arena.floats(y), dst_row: y.rowStride, scratch: arena.pointer(to: scratch))
            unsafe alb_absorbed_attention(isa.code, threadCount, &arguments)
        }
    }

    /// True where queries can absorb a projection: heads are whole blocks of the packed layout, before and after they are
    /// transposed.
    public static func absorbs(channels: Int, depth: Int, heads: Int) -> Bool {
        heads >= 1 && channels % heads == 0 && channels / heads % PackedLayout.channels == 0 && depth >= 1
            && depth % PackedLayout.channels == 0
    }
}
