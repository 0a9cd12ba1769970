import AlbefTensor
import CAlbefKernels

/// The project's own functions of one number.
public enum ElementFunction: Sendable, CaseIterable {
    /// At most 2 ulp from exact; 0 below -87, infinity above 88.72283.
    case exp
    /// At most 2 ulp from exact; -infinity at 0, NaN below.
    case log
    /// At most 2e-7 from exact.
    case erf
    /// `(0.5 x) (1 + erf(x / sqrt 2))`
    case gelu
    /// `max(x, 0)`
    case relu
    /// GELU as int8 linear layers have it: at most 1.27e-4 from exact.
    case geluInt8

    var code: alb_function {
        switch self {
        case .exp: ALB_FUNCTION_EXP
        case .log: ALB_FUNCTION_LOG
        case .erf: ALB_FUNCTION_ERF
        case .gelu: ALB_FUNCTION_GELU
        case .relu: ALB_FUNCTION_RELU
        case .geluInt8: ALB_FUNCTION_GELU_INT8
        }
    }
}

extension Kernels {
    /// Applies a function to every element.
    ///
    /// - Parameters:
    ///   - x: float32 `[M, N]`, may have gaps between rows.
    ///   - y: float32 `[M, N]`, may have gaps between rows and may be `x`.
    public func map(_ function: ElementFunction, _ x: TensorView, to y: TensorView, in arena: Arena) {
        precondition(x.rows == y.rows && x.columns == y.columns)
        if arena.isPlanning || x.rows == 0 { return }
        unsafe withUnsafePointer(
            to: alb_map_args(
                function: function.code, m: x.rows, n: x.columns, src: arena.floats(x), src_stride: x.rowStride,
                dst: arena.floats(y), dst_stride: y.rowStride)
        ) { unsafe alb_map_f32(isa.code, threadCount, $0) }
    }
}
