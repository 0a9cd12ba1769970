import CAlbefKernels

/// How far two lists of numbers are apart; in double precision, for reports.
public struct Comparison: Sendable, Equatable {
    /// The greatest `|a - b|`. All four are NaN if any difference is.
    public let maximumAbsoluteDifference: Double
    /// The greatest `|b|`.
    public let maximumAbsolute: Double
    /// Cosine of the angle between both; 1 when both are all zero, 0 when one is.
    public let cosine: Double
    /// Correlation; 1 when both are constant, 0 when one is.
    public let pearson: Double
}

/// Which variant of an operation runs.
public struct KernelReport: Sendable, Equatable {
    /// The operation's name, such as `matmul_f32_qu8d_qs8c`.
    public let operation: String
    /// The name of its variant's instruction set, such as `avx512vnni`.
    public let variant: String
}

extension Kernels {
    /// Compares `a` with the reference `b`, element by element.
    public static func compare(_ a: [Float], _ b: [Float]) -> Comparison {
        precondition(a.count == b.count)
        let result = unsafe alb_compare_f32(a.count, a, b)
        return Comparison(
            maximumAbsoluteDifference: result.maximum_difference, maximumAbsolute: result.maximum_absolute,
            cosine: result.cosine, pearson: result.pearson)
    }

    /// The variant that each operation with more than one takes under this ceiling, by name.
    public func variants() -> [KernelReport] {
        let choices: [(String, alb_isa)] = [
            ("matmul_f32_qu8d_qs8c", alb_matmul_f32_qu8d_qs8c_variant(isa.code)),
            ("matmul_f32_f32_f32", alb_matmul_f32_f32_f32_variant(isa.code)),
            ("quantize_qu8d_f32", alb_quantize_qu8d_f32_variant(isa.code)),
            ("layer_norm_f32", alb_layer_norm_f32_variant(isa.code)),
            ("softmax_f32", alb_softmax_f32_variant(isa.code)),
            ("map_f32", alb_map_f32_variant(isa.code)),
            ("l2_normalize_f32", alb_l2_normalize_f32_variant(isa.code)),
            ("attention_s8", alb_attention_s8_variant(isa.code)),
            ("attention_f32", alb_attention_f32_variant(isa.code)),
            ("product_f32", alb_product_f32_variant(isa.code)),
            ("linear_backward", alb_linear_backward_variant(isa.code)),
            ("transpose_heads_int8", alb_transpose_heads_int8_variant(isa.code)),
            ("gradients", alb_gradients_variant(isa.code)),
            ("resample_rgb", alb_resample_rgb_variant(isa.code)),
        ]
        return choices.map { KernelReport(operation: $0.0, variant: ISA(code: $0.1).rawValue) }
    }
}
