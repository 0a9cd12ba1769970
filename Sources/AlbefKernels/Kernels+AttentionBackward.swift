import AlbefTensor
import CAlbefKernels

/// The gradients of attention, head by head; a head is a block of d columns of a `[T, heads * d]` matrix.
extension Kernels {
    /// The gradient at the probabilities: `dP = o · vᵀ`.
    ///
    /// - Parameters:
    ///   - o: Float32 `[T, heads * d]`, strided: the gradient at the attention's output.
    ///   - v: Float32 `[S, heads * d]`, strided: the values of the forward pass.
    ///   - dP: Float32 `[heads, T, S]`, dense.
    public func attentionBackwardProbabilities(
        _ o: TensorView, v: TensorView, heads: Int, to dP: TensorView, in arena: Arena
    ) {
        precondition(dP.shape.rank == 3 && dP.shape[0] == heads)
        let (queries, keys, width) = headShape(dP, columns: o.columns)
        o.requireMatrix(queries, heads * width)
        v.requireMatrix(keys, heads * width)
        products(
            batch: heads, rows: queries, columns: keys, depth: width,
            lhs: Operand(view: o, batch: width, row: o.rowStride, column: 1),
            rhs: Operand(view: v, batch: width, row: 1, column: v.rowStride),
            to: Operand(view: dP, batch: queries * keys, row: keys, column: 1), scale: 1, in: arena)
    }

    /// The gradient at the scores before scaling: `dS = P * (dP - Σ dP * P) * scale`, the sum over a row's keys.
    ///
    /// - Parameters:
    ///   - dP, p: Float32 `[heads, T, S]`, dense: probabilities and their gradient.
    ///   - scale: The factor of the scores, ``attentionScale(width:)``.
    ///   - dS: Float32 `[heads, T, S]`, dense; may be `dP` or `p`.
    public func attentionBackwardScores(
        _ dP: TensorView, probabilities p: TensorView, scale: Float, to dS: TensorView, in arena: Arena
    ) {
        precondition(dP.shape.rank == 3)
        dP.requireDense(dP.shape)
        p.requireDense(dP.shape)
        dS.requireDense(dP.shape)
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
        unsafe alb_softmax_backward(
            isa.code, threadCount, dP.shape[0] * dP.shape[1], dP.shape[2], arena.floats(dP),
            arena.floats(p), scale, arena.floats(dS))
    }

    /// The gradient at the queries: `dS · k`, heads merged.
    ///
    /// - Parameters:
    ///   - dS: Float32 `[heads, T, S]`, dense.
    ///   - k: Float32 `[S, heads * d]`, strided.
    ///   - y: Float32 `[T, heads * d]`, strided.
    public func attentionBackwardQueries(_ dS: TensorView, keys k: TensorView, to y: TensorView, in arena: Arena) {
        let (queries, keys, width) = headShape(dS, columns: k.columns), heads = dS.shape[0]
        k.requireMatrix(keys, heads * width)
        y.requireMatrix(queries, heads * width)
        products(
            batch: heads, rows: queries, columns: width, depth: keys,
            lhs: Operand(view: dS, batch: queries * keys, row: keys, column: 1),
            rhs: Operand(view: k, batch: width, row: k.rowStride, column: 1),
            to: Operand(view: y, batch: width, row: y.rowStride, column: 1), scale: 1, in: arena)
    }

    /// The gradient at the keys: `dSᵀ · q`, heads merged.
    ///
    /// - Parameters:
    ///   - dS: Float32 `[heads, T, S]`, dense.
    ///   - q: Float32 `[T, heads * d]`, strided.
    ///   - y: Float32 `[S, heads * d]`, strided.
    public func attentionBackwardKeys(_ dS: TensorView, queries q: TensorView, to y: TensorView, in arena: Arena) {
        transposedProducts(dS, q, to: y, in: arena)
    }

    /// The gradient at the values: `Pᵀ · o`, heads merged.
    ///
    /// - Parameters:
    ///   - p: Float32 `[heads, T, S]`, dense: probabilities.
    ///   - o: Float32 `[T, heads * d]`, strided: the gradient at the attention's output.
    ///   - y: Float32 `[S, heads * d]`, strided.
    public func attentionBackwardValues(
        _ p: TensorView, outputGradient o: TensorView, to y: TensorView, in arena: Arena
    ) {
        transposedProducts(p, o, to: y, in: arena)
    }

    private func transposedProducts(_ maps: TensorView, _ x: TensorView, to y: TensorView, in arena: Arena) {
        let (queries, keys, width) = headShape(maps, columns: x.columns), heads = maps.shape[0]
        x.requireMatrix(queries, heads * width)
        y.requireMatrix(keys, heads * width)
        products(
            batch: heads, rows: keys, columns: width, depth: queries,
            lhs: Operand(view: maps, batch: queries * keys, row: 1, column: keys),
            rhs: Operand(view: x, batch: width, row: x.rowStride, column: 1),
            to: Operand(view: y, batch: width, row: y.rowStride, column: 1), scale: 1, in: arena)
    }

    /// Queries, keys and a head's width, from dense maps `[heads, T, S]` and the columns of all heads.
    private func headShape(_ maps: TensorView, columns: Int) -> (queries: Int, keys: Int, width: Int) {
        precondition(maps.shape.rank == 3 && maps.shape[0] >= 1 && columns % maps.shape[0] == 0)
        maps.requireDense(maps.shape)
        return (maps.shape[1], maps.shape[2], columns / maps.shape[0])
    }
}
