import AlbefTensor
import CAlbefKernels

/// Grad-CAM's backward pass by hand: the gradient of the match score runs down the text stream, in float, reading the same
/// packed weights as the forward pass.
extension Kernels {
    /// The gradient at a LayerNorm's input: `r * (ĝ - mean(ĝ) - x̂ * mean(ĝ * x̂))` with `ĝ = g * weight`.
    ///
    /// - Parameters:
    ///   - g: Float32 `[M, N]`, strided: the gradient at the LayerNorm's output.
    ///   - normalized: Float32 `[M, N]`, strided: x̂ of the forward pass.
    ///   - reciprocals: Float32 `[M]`, dense: r of the forward pass.
    ///   - weight: Float32 `[N]`.
    ///   - y: Float32 `[M, N]`, strided; may be `g` itself.
    ///
    /// Bits: means are R16 sums divided by N; then `r * fmaf(-b, x̂, ĝ - a)`.
    public func layerNormBackward(
        _ g: TensorView, normalized: TensorView, reciprocals: TensorView, weight: ConstantTensor, to y: TensorView,
        in arena: Arena
    ) {
        precondition(g.shape.rank == 2)
        let rows = g.shape[0], columns = g.shape[1]
        g.requireMatrix(rows, columns)
        normalized.requireMatrix(rows, columns)
        reciprocals.requireDense(Shape(rows))
        weight.requireVector(columns)
        y.requireMatrix(rows, columns)
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
        unsafe alb_layer_norm_backward(
            isa.code, threadCount, rows, columns, arena.floats(g), g.rowStride,
            arena.floats(normalized), normalized.rowStride, arena.floats(reciprocals),
            weight.floats, arena.floats(y), y.rowStride)
    }

    /// The gradient at a linear layer's input, `g · W`, from the layer's packed weights.
    ///
    /// - Parameters:
    ///   - g: Float32 `[M, N]`, strided: the gradient at the layer's output.
    ///   - weight: N output channels, K inputs.
    ///   - y: Float32 `[M, K]`, strided; must not overlap `g`.
    ///   - accumulate: Adds to what `y` holds, one addition an element.
    ///
    /// Bits: channels ascending from +0; float weights `fmaf(g_n, w, acc)`, int8 `fmaf(g_n * scale_n, float(q), acc)`.
    public func linearBackward(
        _ g: TensorView, _ weight: PackedMatrix, to y: TensorView, accumulate: Bool = false, in arena: Arena
    ) {
        precondition(g.shape.rank == 2)
        let rows = g.shape[0]
        g.requireMatrix(rows, weight.channels)
        y.requireMatrix(rows, weight.depth)
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, a packed matrix holds as much as its layout says, and the arena checks that
        // the views lie inside of it.
        var arguments = unsafe alb_linear_backward_args(
            rows: rows, channels: weight.channels, depth: weight.depth, g: UnsafePointer(arena.floats(g)),
            g_row: g.rowStride, float_weights: nil, int8_weights: nil, scales: nil, accumulate: accumulate,
            dst: arena.floats(y), dst_row: y.rowStride)
        switch weight {
        case .float32(let matrix):
            unsafe arguments.float_weights = matrix.values.floats
        case .int8(let matrix):
            unsafe arguments.int8_weights = matrix.values.signedBytes
            unsafe arguments.scales = matrix.scales.floats
        }
        unsafe alb_linear_backward(isa.code, threadCount, &arguments)
    }

    /// The gradient at GELU's input: `g * (Φ(h) + h * φ(h))`, Φ and φ the standard normal distribution and density.
    ///
    /// - Parameters:
    ///   - g: Float32 `[M, N]`, strided.
    ///   - h: Float32 `[M, N]`, strided: GELU's input in the forward pass.
    ///   - y: Float32 `[M, N]`, strided; may be `g` or `h`.
    public func geluBackward(_ g: TensorView, preactivation h: TensorView, to y: TensorView, in arena: Arena) {
        precondition(g.shape.rank == 2)
        let rows = g.shape[0], columns = g.shape[1]
        g.requireMatrix(rows, columns)
        h.requireMatrix(rows, columns)
        y.requireMatrix(rows, columns)
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
        unsafe alb_gelu_backward(
            isa.code, threadCount, rows, columns, arena.floats(g), g.rowStride, arena.floats(h),
            h.rowStride, arena.floats(y), y.rowStride)
    }

    /// Adds two matrices: `c = a + b`.
    ///
    /// - Parameters:
    ///   - a, b: Float32 `[M, N]`, strided.
    ///   - c: Float32 `[M, N]`, strided; may be `a` or `b`.
    public func add(_ a: TensorView, _ b: TensorView, to c: TensorView, in arena: Arena) {
        precondition(a.shape.rank == 2)
        let rows = a.shape[0], columns = a.shape[1]
        a.requireMatrix(rows, columns)
        b.requireMatrix(rows, columns)
        c.requireMatrix(rows, columns)
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
        unsafe alb_add(
            isa.code, threadCount, rows, columns, arena.floats(a), a.rowStride, arena.floats(b),
            b.rowStride, arena.floats(c), c.rowStride)
    }

    /// The class activation map of an attention: the mean over heads of `P * max(dP, 0)`, without key 0 (the image's CLS).
    ///
    /// - Parameters:
    ///   - p: Float32 `[heads, T, S]`, dense: probabilities; S at least 2.
    ///   - dP: Float32 `[heads, T, S]`, dense: the score's gradient with respect to them.
    ///   - cam: Float32 `[T, S - 1]`, dense.
    ///
    /// Bits: `fmaf(P, max(dP, 0), acc)`, heads ascending from +0, then one division by the number of heads.
    public func gradCAM(probabilities p: TensorView, gradient dP: TensorView, to cam: TensorView, in arena: Arena) {
        precondition(p.shape.rank == 3 && p.shape[2] >= 2)
        let heads = p.shape[0], queries = p.shape[1], keys = p.shape[2]
        p.requireDense(p.shape)
        dP.requireDense(p.shape)
        cam.requireDense(Shape(queries, keys - 1))
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
        unsafe alb_grad_cam(
            isa.code, threadCount, heads, queries, keys, arena.floats(p), arena.floats(dP),
            arena.floats(cam))
    }

    /// The mean over the rows of a matrix: rows added in ascending order from +0, then one division.
    ///
    /// - Parameters:
    ///   - x: Float32 `[T, N]`, strided, T at least 1.
    ///   - y: Float32 `[N]`, dense.
    public func meanRows(_ x: TensorView, to y: TensorView, in arena: Arena) {
        precondition(x.shape.rank == 2 && x.shape[0] >= 1)
        let rows = x.shape[0], columns = x.shape[1]
        x.requireMatrix(rows, columns)
        y.requireDense(Shape(columns))
        if arena.isPlanning { return }
        // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
        unsafe alb_mean_rows(
            isa.code, threadCount, rows, columns, arena.floats(x), x.rowStride, arena.floats(y))
    }
}
