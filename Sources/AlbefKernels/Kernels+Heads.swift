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

/// Projections head by head, for attention whose keys and values are the tokens themselves: the projection of the keys is
/// absorbed into the queries before, that of the values is applied to the mixed tokens behind.
extension Kernels {
    /// Transposes the projection of keys for ``absorb(_:_:room:to:in:)``.
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

    /// Takes the queries of every head to where the keys' inputs are: `q · (W x) = (q · W) · x`, as a linear layer in int8.
    ///
    /// - Parameters:
    ///   - q: Float32 `[M, heads * d]`, strided.
    ///   - projection: Of the keys, from ``absorbedProjection(of:heads:in:)``.
    ///   - room: Rows of queries for which memory is taken, if more than those of `q`: a plan need not know how many come.
    ///   - y: Float32 `[heads * M, K]`, dense: the rows of a head lie together.
    ///
    /// Bits: a row of a head is multiplied by its channels' scales, quantised like a row of activations, and meets the integer
    /// weights as in a linear layer on quantised rows, without bias and with a scale of 1.
    public func absorb(
        _ q: TensorView, _ projection: AbsorbedProjection, room: Int = 0, to y: TensorView, in arena: Arena
    ) {
        precondition(q.shape.rank == 2)
        let rows = q.shape[0], heads = projection.heads, width = projection.width
        q.requireMatrix(rows, heads * width)
        y.requireDense(Shape(heads * rows, projection.depth))
        arena.scoped {
            let quantized = reserveQuantizedRows(heads * max(rows, room), depth: width, in: arena)
            let scratch = arena.reserve(Shape(threads * Int(ALB_QUANTIZE_HEADS_SCRATCH_ROWS), width))
            if arena.isPlanning || rows == 0 { return }
            // Safe: as above.
            unsafe withUnsafePointer(
                to: alb_quantize_args(
                    m: rows, k: heads * width, src: arena.floats(q), src_stride: q.rowStride,
                    dst: arena.bytes(quantized.values), dst_stride: width, scales: arena.floats(quantized.scales),
                    zero_points: arena.integers(quantized.zeroPoints))
            ) {
                unsafe alb_quantize_heads_qu8d_f32(
                    isa.code, threadCount, heads, projection.factors.floats, $0, arena.floats(scratch))
            }
            unsafe withUnsafePointer(
                to: alb_matmul_int8_args(
                    m: rows, n: heads * projection.depth, k: width, lhs: arena.bytes(quantized.values),
                    lhs_scales: arena.floats(quantized.scales), lhs_zero_points: arena.integers(quantized.zeroPoints),
                    rhs: arena.signedBytes(projection.values), rhs_scales: arena.floats(projection.scales),
                    rhs_sums: arena.integers(projection.columnSums),
                    epilogue: alb_epilogue(bias: nil, activation: ALB_ACTIVATION_NONE, residual: nil, residual_stride: 0),
                    dst: arena.floats(y), dst_stride: projection.depth)
            ) { unsafe alb_matmul_heads_f32_qu8d_qs8c(isa.code, threadCount, heads, rows * projection.depth, $0) }
        }
    }

    /// True where queries can absorb a projection: heads are whole blocks of the packed layout, before and after they are
    /// transposed.
    public static func absorbs(channels: Int, depth: Int, heads: Int) -> Bool {
        splits(channels, heads: heads) && depth >= 1 && depth % PackedLayout.channels == 0
    }

    /// A linear layer whose outputs are split into heads, each with input rows of its own:
    ///
    ///     y[:, h] = x[h] · weight[h]ᵀ + bias[h]
    ///
    /// - Parameters:
    ///   - x: `[heads * M, K]`: the rows of a head lie together.
    ///   - weight: K inputs, N channels; a head is a block of `N / heads` of them, a multiple of 16.
    ///   - bias: Float32 `[N]`.
    ///   - y: Float32 `[M, N]`, may have gaps between rows.
    public func linear(
        _ x: QuantizedRows, _ weight: PackedInt8Matrix, heads: Int, bias: ConstantTensor, to y: TensorView, in arena: Arena
    ) {
        precondition(y.shape.rank == 2 && Kernels.splits(weight.channels, heads: heads))
        precondition(x.depth == weight.depth && x.rows == heads * y.shape[0])
        y.requireMatrix(y.shape[0], weight.channels)
        bias.requireVector(weight.channels)
        if arena.isPlanning || x.rows == 0 { return }
        // Safe: as above.
        unsafe withUnsafePointer(
            to: alb_matmul_int8_args(
                m: y.shape[0], n: weight.channels, k: x.values.columns, lhs: arena.bytes(x.values),
                lhs_scales: arena.floats(x.scales), lhs_zero_points: arena.integers(x.zeroPoints),
                rhs: weight.values.signedBytes, rhs_scales: weight.scales.floats, rhs_sums: weight.columnSums.integers,
                epilogue: alb_epilogue(bias: bias.floats, activation: ALB_ACTIVATION_NONE, residual: nil, residual_stride: 0),
                dst: arena.floats(y), dst_stride: y.rowStride)
        ) { unsafe alb_matmul_heads_f32_qu8d_qs8c(isa.code, threadCount, heads, weight.channels / heads, $0) }
    }

    /// True where heads are whole blocks of the packed layout, so that a head's channels lie together.
    public static func splits(_ channels: Int, heads: Int) -> Bool {
        heads >= 1 && channels % heads == 0 && channels / heads % PackedLayout.channels == 0
    }
}
