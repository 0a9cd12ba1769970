import CAlbefKernels

/// Sizes that meet every tail of every tile.
enum LinearShapes {
    static let rows = [1, 2, 3, 5, 7, 17, 30]
    static let channels = [1, 15, 16, 17, 33, 130]
    static let depths = [1, 2, 3, 4, 5, 63, 64, 65, 768, 3072]
}

/// Bias, activation and residual of a case; `index` runs through all combinations.
final class EpilogueCase {
    let bias: Guarded<Float>?
    let residual: Guarded<Float>?
    let activation: alb_activation
    let residualStride: Int

    init(index: Int, rows: Int, channels: Int, placement: Guarded<Float>.Placement, random: inout TestRandom) {
        activation = [ALB_ACTIVATION_NONE, ALB_ACTIVATION_GELU, ALB_ACTIVATION_RELU][index % 3]
        residualStride = channels + index % 2
        bias = index % 4 == 1 ? nil : Guarded(random: &random, channels, placement)
        residual =
            index % 5 < 2 ? nil : Guarded(random: &random, (rows - 1) * residualStride + channels, placement)
    }

    var code: alb_epilogue {
        alb_epilogue(
            bias: bias.map { UnsafePointer($0.start) }, activation: activation,
            residual: residual.map { UnsafePointer($0.start) }, residual_stride: residualStride)
    }

    /// The same in double precision, on a product whose bias was added.
    func finish(_ y: Double, gelu: (Double) -> Double, row: Int, channel: Int) -> Double {
        var y = y
        if activation == ALB_ACTIVATION_GELU { y = gelu(y) }
        if activation == ALB_ACTIVATION_RELU { y = max(y, 0) }
        if let residual { y += Double(residual.start[row * residualStride + channel]) }
        return y
    }
}

/// An int8 linear layer with all its buffers between guard pages.
final class Int8Case {
    let m, n, k, padded, stride: Int
    let activations, weights: Guarded<Float>
    let lhs: Guarded<UInt8>, lhsScales: Guarded<Float>, lhsZeros: Guarded<Int32>
    let rhs: Guarded<Int8>, rhsScales: Guarded<Float>, rhsSums: Guarded<Int32>
    let epilogue: EpilogueCase
    private let placement: Guarded<Float>.Placement

    init(
        _ m: Int, _ n: Int, _ k: Int, index: Int, placement: Guarded<Float>.Placement, random: inout TestRandom,
        prepare: (Guarded<Float>, Guarded<Float>) -> Void = { _, _ in }
    ) {
        self.m = m
        self.n = n
        self.k = k
        self.placement = placement
        padded = paddedDepth(k)
        stride = n + index % 3
        activations = Guarded(random: &random, m * k, placement)
        weights = Guarded(random: &random, n * k, placement)
        prepare(activations, weights)
        let atEnd = placement == .atEnd
        lhs = Guarded(m * padded, atEnd ? .atEnd : .atStart)
        lhsScales = Guarded(m, placement)
        lhsZeros = Guarded(m, atEnd ? .atEnd : .atStart)
        rhs = Guarded(paddedChannels(n) * padded, atEnd ? .atEnd : .atStart)
        rhsScales = Guarded(paddedChannels(n), placement)
        rhsSums = Guarded(paddedChannels(n), atEnd ? .atEnd : .atStart)
        epilogue = EpilogueCase(index: index, rows: m, channels: n, placement: placement, random: &random)
        var report = alb_pack_report()
        alb_pack_int8(1, n, k, weights.start, rhs.start, rhsScales.start, rhsSums.start, &report)
        var quantize = alb_quantize_args(
            m: m, k: k, src: activations.start, src_stride: k, dst: lhs.start, dst_stride: padded, scales: lhsScales.start,
            zero_points: lhsZeros.start)
        alb_quantize_qu8d_f32(ALB_ISA_SCALAR, 1, &quantize)
    }

    func run(_ setting: Setting) -> Guarded<Float> {
        let dst = Guarded<Float>((m - 1) * stride + n, placement)
        dst.fill(byte: 0xa5)
        var args = alb_matmul_int8_args(
            m: m, n: n, k: padded, lhs: lhs.start, lhs_scales: lhsScales.start, lhs_zero_points: lhsZeros.start,
            rhs: rhs.start, rhs_scales: rhsScales.start, rhs_sums: rhsSums.start, epilogue: epilogue.code, dst: dst.start,
            dst_stride: stride)
        alb_matmul_f32_qu8d_qs8c(setting.isa, setting.threads, &args)
        return dst
    }
}

/// A float linear layer with all its buffers between guard pages.
final class FloatCase {
    let m, n, k, lhsStride, stride: Int
    let lhs, weights, rhs: Guarded<Float>
    let epilogue: EpilogueCase
    private let placement: Guarded<Float>.Placement

    init(_ m: Int, _ n: Int, _ k: Int, index: Int, placement: Guarded<Float>.Placement, random: inout TestRandom) {
        self.m = m
        self.n = n
        self.k = k
        self.placement = placement
        lhsStride = k + index % 2
        stride = n + index % 3
        lhs = Guarded(random: &random, (m - 1) * lhsStride + k, placement)
        weights = Guarded(random: &random, n * k, placement)
        rhs = Guarded(paddedChannels(n) * k, placement)
        epilogue = EpilogueCase(index: index, rows: m, channels: n, placement: placement, random: &random)
        _ = alb_pack_f32(1, n, k, weights.start, rhs.start)
    }

    func run(_ setting: Setting) -> Guarded<Float> {
        let dst = Guarded<Float>((m - 1) * stride + n, placement)
        dst.fill(byte: 0xa5)
        var args = alb_matmul_f32_args(
            m: m, n: n, k: k, lhs: lhs.start, lhs_stride: lhsStride, rhs: rhs.start, epilogue: epilogue.code,
            dst: dst.start, dst_stride: stride)
        alb_matmul_f32_f32_f32(setting.isa, setting.threads, &args)
        return dst
    }
}
