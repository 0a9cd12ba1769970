import AlbefTensor
import CAlbefKernels

/// Where Grad-CAM's backward passes begin: the gradients of a cosine and of a log-probability.
extension Kernels {
    /// The gradient at the input of ``l2Normalize(_:to:in:)``: `(g - u (g · u)) / |x|` with `u = x / |x|`.
    ///
    /// - Parameters:
    ///   - g: Float32 `[M, N]`, strided: the gradient at the rows of unit length.
    ///   - x: Float32 `[M, N]`, strided: the rows as they were before, longer than 1e-12.
    ///   - y: Float32 `[M, N]`, strided; overlaps neither `g` nor `x`.
    ///
    /// Bits: the length as in the forward pass, an R16 sum of `g · u`, then `fmaf(-(g · u), u, g) / |x|`.
    public func l2NormalizeBackward(_ g: TensorView, input x: TensorView, to y: TensorView, in arena: Arena) {
        precondition(g.shape.rank == 2)
        let rows = g.shape[0], columns = g.shape[1]
        g.requireMatrix(rows, columns)
        x.requireMatrix(rows, columns)
        y.requireMatrix(rows, columns)
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
        unsafe alb_l2_normalize_backward(
            isa.code, threadCount, rows, columns, arena.floats(g), g.rowStride, arena.floats(x), x.rowStride,
            arena.floats(y), y.rowStride)
    }

    /// The gradient at the logits of `weight · log p(id)`, row by row: `weight · (oneHot(id) - p)`.
    ///
    /// - Parameters:
    ///   - p: Float32 `[M, V]`, strided: the softmax of the logits.
    ///   - ids: int32 `[M]`, each in `0..<V`.
    ///   - weights: Float32 `[M]`, dense.
    ///   - y: Float32 `[M, V]`, strided; may be `p`.
    ///
    /// Bits: `p * -weight`; at the id minus the R16 sum of the others, which keeps its digits where `p` is close to 1.
    public func logSoftmaxBackward(
        _ p: TensorView, ids: TensorView, weights: TensorView, to y: TensorView, in arena: Arena
    ) {
        precondition(p.shape.rank == 2)
        let rows = p.shape[0], columns = p.shape[1]
        p.requireMatrix(rows, columns)
        y.requireMatrix(rows, columns)
        weights.requireDense(Shape(rows))
        checkIndices(ids, count: rows, below: columns, arena)
        if arena.isPlanning { return }
        // Safe: shapes and ids were checked above, and the arena checks that the views lie inside of it.
        unsafe alb_log_softmax_backward(
            isa.code, threadCount, rows, columns, arena.floats(p), p.rowStride, arena.integers(ids), arena.floats(weights),
            arena.floats(y), y.rowStride)
    }
}
