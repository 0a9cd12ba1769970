import AlbefTensor
import CAlbefKernels

/// What a linear layer applies to its outputs before the residual is added.
public enum Activation: Sendable {
    case none
    /// `(0.5 x) (1 + erf(x / sqrt 2))`; behind int8 weights `ElementFunction.geluInt8`.
    case gelu
    /// `max(x, 0)`
    case relu

    var code: alb_activation {
        switch self {
        case .none: ALB_ACTIVATION_NONE
        case .gelu: ALB_ACTIVATION_GELU
        case .relu: ALB_ACTIVATION_RELU
        }
    }
}

/// Rows of activations as uint8, each with its own scale and zero point: a value is `(q - zeroPoint) * scale`.
public struct QuantizedRows: Sendable, BitwiseCopyable {
    /// uint8 `[M, paddedDepth]`; columns past `depth` hold 0 and meet zero weights.
    public let values: TensorView
    /// float32 `[M]`.
    public let scales: TensorView
    /// int32 `[M]`, 0…255.
    public let zeroPoints: TensorView
    /// Columns without padding.
    public let depth: Int

    /// Number of rows.
    public var rows: Int { scales.shape.count }
}

extension Kernels {
    /// Quantises each row to uint8 with a scale and zero point of its own.
    ///
    /// - Parameters:
    ///   - x: float32 `[M, K]`, may have gaps between rows.
    ///   - arena: Holds `x`; the result is reserved in it.
    public func quantizeRows(_ x: TensorView, in arena: Arena) -> QuantizedRows {
        let result = reserveQuantizedRows(x.rows, depth: x.columns, in: arena)
        if arena.isPlanning || x.rows == 0 { return result }
        unsafe withUnsafePointer(
            to: alb_quantize_args(
                m: x.rows, k: x.columns, src: arena.floats(x), src_stride: x.rowStride, dst: arena.bytes(result.values),
                dst_stride: result.values.columns, scales: arena.floats(result.scales),
                zero_points: arena.integers(result.zeroPoints))
        ) { unsafe alb_quantize_qu8d_f32(isa.code, threadCount, $0) }
        return result
    }

    /// Room for quantised rows.
    func reserveQuantizedRows(_ rows: Int, depth: Int, in arena: Arena) -> QuantizedRows {
        let padded = PackedLayout.paddedDepth(depth)
        precondition(padded <= Int(ALB_MATMUL_MAXIMUM_DEPTH), "deeper than an int32 accumulator allows")
        return QuantizedRows(
            values: arena.reserve(Shape(rows, padded), .uint8), scales: arena.reserve(Shape(rows)),
            zeroPoints: arena.reserve(Shape(rows), .int32), depth: depth)
    }

    /// A linear layer: `y = activation(x · weightᵀ + bias) + residual`.
    ///
    /// An int8 weight quantises `x` row by row first, in scratch memory of the arena.
    ///
    /// - Parameters:
    ///   - x: float32 `[M, K]`, may have gaps between rows.
    ///   - weight: `K` inputs, `N` channels.
    ///   - bias: float32 `[N]`.
    ///   - residual: float32 `[M, N]`, may have gaps between rows and may be `y`.
    ///   - y: float32 `[M, N]`, may have gaps between rows; overlaps no input but the residual.
    public func linear(
        _ x: TensorView, _ weight: PackedMatrix, bias: ConstantTensor?, activation: Activation = .none,
        residual: TensorView? = nil, to y: TensorView, in arena: Arena
    ) {
        switch weight {
        case .int8(let matrix):
            arena.scoped {
                linear(
                    quantizeRows(x, in: arena), matrix, bias: bias, activation: activation, residual: residual, to: y,
                    in: arena)
            }
        case .float32(let matrix):
            linear(x, matrix, bias: bias, activation: activation, residual: residual, to: y, in: arena)
        }
    }

    /// A linear layer on rows that are quantised already, so that several projections share one quantisation.
    ///
    /// - Parameters: as in the general form.
    public func linear(
        _ x: QuantizedRows, _ weight: PackedInt8Matrix, bias: ConstantTensor?, activation: Activation = .none,
        residual: TensorView? = nil, to y: TensorView, in arena: Arena
    ) {
        precondition(x.depth == weight.depth)
        checkOutput(y, rows: x.rows, channels: weight.channels, bias: bias, residual: residual)
        if arena.isPlanning || x.rows == 0 || weight.channels == 0 { return }
        unsafe withUnsafePointer(
            to: product(x, weight, epilogue(bias: bias, activation: activation, residual: residual, in: arena), y, in: arena)
        ) { unsafe alb_matmul_f32_qu8d_qs8c(isa.code, threadCount, $0) }
    }

    /// One of several linear layers on the same rows, without activation or residual.
    public struct Projection {
        let weight: PackedInt8Matrix
        let bias: ConstantTensor
        let y: TensorView

        /// - Parameters:
        ///   - weight: `K` inputs, `N` channels.
        ///   - bias: float32 `[N]`.
        ///   - y: float32 `[M, N]`, may have gaps between rows.
        public init(_ weight: PackedInt8Matrix, bias: ConstantTensor, to y: TensorView) {
            (self.weight, self.bias, self.y) = (weight, bias, y)
        }
    }

    /// Three linear layers of equal width on rows that are quantised already, such as those to queries, keys and values:
    /// threads share the work of all, and wait for each other once only.
    ///
    /// Bits: those of each layer alone.
    ///
    /// - Parameter x: `[M, K]`. The results overlap neither each other nor what the rows lie in.
    public func linear(
        _ x: QuantizedRows, _ first: Projection, _ second: Projection, _ third: Projection, in arena: Arena
    ) {
        checkProjection(x, first)
        checkProjection(x, second)
        checkProjection(x, third)
        precondition(first.weight.channels == second.weight.channels && second.weight.channels == third.weight.channels)
        if arena.isPlanning || x.rows == 0 { return }
        var products = unsafe (
            product(x, first, in: arena), product(x, second, in: arena), product(x, third, in: arena)
        )
        // Safe: a homogeneous tuple lies in memory like an array.
        unsafe withUnsafeBytes(of: &products) { bytes in
            guard let start = unsafe bytes.assumingMemoryBound(to: alb_matmul_int8_args.self).baseAddress else { return }
            unsafe alb_matmul_together_f32_qu8d_qs8c(isa.code, threadCount, 3, start)
        }
    }

    private func checkProjection(_ x: QuantizedRows, _ projection: Projection) {
        precondition(x.depth == projection.weight.depth)
        checkOutput(projection.y, rows: x.rows, channels: projection.weight.channels, bias: projection.bias, residual: nil)
    }

    @unsafe private func product(_ x: QuantizedRows, _ projection: Projection, in arena: Arena) -> alb_matmul_int8_args {
        unsafe product(
            x, projection.weight, epilogue(bias: projection.bias, activation: .none, residual: nil, in: arena), projection.y,
            in: arena)
    }

    @unsafe private func product(
        _ x: QuantizedRows, _ weight: PackedInt8Matrix, _ epilogue: alb_epilogue, _ y: TensorView, in arena: Arena
    ) -> alb_matmul_int8_args {
        unsafe alb_matmul_int8_args(
            m: x.rows, n: weight.channels, k: x.values.columns, lhs: arena.bytes(x.values),
            lhs_scales: arena.floats(x.scales), lhs_zero_points: arena.integers(x.zeroPoints),
            rhs: weight.values.signedBytes, rhs_scales: weight.scales.floats, rhs_sums: weight.columnSums.integers,
            epilogue: epilogue, dst: arena.floats(y), dst_stride: y.rowStride)
    }

    /// A linear layer in float32.
    ///
    /// - Parameters: as in the general form.
    public func linear(
        _ x: TensorView, _ weight: PackedFloat32Matrix, bias: ConstantTensor?, activation: Activation = .none,
        residual: TensorView? = nil, to y: TensorView, in arena: Arena
    ) {
        precondition(x.type == .float32 && x.columns == weight.depth)
        checkOutput(y, rows: x.rows, channels: weight.channels, bias: bias, residual: residual)
        if arena.isPlanning || x.rows == 0 || weight.channels == 0 { return }
        unsafe withUnsafePointer(
            to: alb_matmul_f32_args(
                m: x.rows, n: weight.channels, k: weight.depth, lhs: arena.floats(x), lhs_stride: x.rowStride,
                rhs: weight.values.floats,
                epilogue: epilogue(bias: bias, activation: activation, residual: residual, in: arena),
                dst: arena.floats(y), dst_stride: y.rowStride)
        ) { unsafe alb_matmul_f32_f32_f32(isa.code, threadCount, $0) }
    }

    private func checkOutput(
        _ y: TensorView, rows: Int, channels: Int, bias: ConstantTensor?, residual: TensorView?
    ) {
        precondition(y.type == .float32 && y.rows == rows && y.columns == channels)
        precondition(bias.map { $0.type == .float32 && $0.shape.count == channels } ?? true)
        precondition(residual.map { $0.type == .float32 && $0.rows == rows && $0.columns == channels } ?? true)
    }

    private func epilogue(
        bias: ConstantTensor?, activation: Activation, residual: TensorView?, in arena: Arena
    ) -> alb_epilogue {
        unsafe alb_epilogue(
            bias: bias?.floats, activation: activation.code, residual: residual.map { unsafe UnsafePointer(arena.floats($0)) },
            residual_stride: residual?.rowStride ?? 0)
    }
}
