import AlbefTensor
import CAlbefKernels

/// Projections head by head, for attention whose keys and values are the tokens themselves: the projection of the keys is
/// absorbed into the queries before, that of the values is applied to the mixed tokens behind.
extension Kernels {
    /// Takes the queries of every head to where the keys' inputs are: `q · (W x) = (q · W) · x`.
    ///
    /// - Parameters:
    ///   - q: Float32 `[M, N]`, strided; a head is a block of `N / heads` columns, a multiple of 16.
    ///   - weight: The projection of the keys, N output channels and K inputs.
    ///   - y: Float32 `[heads * M, K]`, dense: the rows of a head lie together.
    ///
    /// Bits: each head's like ``linearBackward(_:_:to:accumulate:in:)`` with the head's channels alone.
    public func absorbProjection(
        of q: TensorView, _ weight: PackedInt8Matrix, heads: Int, to y: TensorView, in arena: Arena
    ) {
        precondition(q.shape.rank == 2 && Kernels.splits(weight.channels, heads: heads))
        let rows = q.shape[0]
        q.requireMatrix(rows, weight.channels)
        y.requireDense(Shape(heads * rows, weight.depth))
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, a packed matrix holds as much as its layout says, and the arena checks that
        // the views lie inside of it.
        var arguments = unsafe alb_linear_backward_args(
            rows: rows, channels: weight.channels, depth: weight.depth, g: UnsafePointer(arena.floats(q)),
            g_row: q.rowStride, float_weights: nil, int8_weights: weight.values.signedBytes,
            scales: weight.scales.floats, accumulate: false, dst: arena.floats(y), dst_row: weight.depth)
        unsafe alb_linear_backward_heads(isa.code, threadCount, heads, rows * weight.depth, &arguments)
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
        ) { unsafe alb_matmul_heads_f32_qu8d_qs8c(isa.code, threadCount, heads, $0) }
    }

    /// True where heads are whole blocks of the packed layout, so that a head's channels lie together.
    public static func splits(_ channels: Int, heads: Int) -> Bool {
        heads >= 1 && channels % heads == 0 && channels / heads % PackedLayout.channels == 0
    }
}
