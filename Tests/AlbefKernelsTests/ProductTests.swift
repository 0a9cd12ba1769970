import CAlbefKernels
import Foundation
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)

/// A batch of products between guard pages. The batch's operands lie side by side, as the heads of a projection do.
private final class ProductCase: CustomStringConvertible {
    enum Form: String, CaseIterable { case nn, nt, tn, tt }

    let form: Form
    let batch, m, n, k: Int
    let lhs, rhs: Guarded<Float>
    private let lhsStride, rhsStride: Int
    var description: String { "\(form) \(batch)x\(m)x\(n)x\(k)" }
    private var lhsTransposed: Bool { form == .tn || form == .tt }
    private var rhsTransposed: Bool { form == .nt || form == .tt }

    init(_ form: Form, batch: Int, _ m: Int, _ n: Int, _ k: Int, random: inout TestRandom) {
        (self.form, self.batch, self.m, self.n, self.k) = (form, batch, m, n, k)
        let lhsTransposed = form == .tn || form == .tt, rhsTransposed = form == .nt || form == .tt
        lhsStride = batch * (lhsTransposed ? m : k) + m % 2
        rhsStride = batch * (rhsTransposed ? k : n) + n % 2
        let placement = Guarded<Float>.Placement.allCases[(m + n + k) % 2]
        lhs = Guarded(random: &random, max(0, (lhsTransposed ? k : m) * lhsStride - m % 2), placement)
        rhs = Guarded(random: &random, max(0, (rhsTransposed ? n : k) * rhsStride - n % 2), placement)
    }

    func run(_ setting: Setting, scale: Float = 1) -> Guarded<Float> {
        let dst = Guarded<Float>(batch * m * n, .atEnd)
        dst.fill(byte: 0xa5)
        var args = alb_product_f32_args(
            batch: batch, rows: m, columns: n, depth: k, lhs: lhs.start, lhs_batch: lhsTransposed ? m : k,
            lhs_row: lhsTransposed ? 1 : lhsStride, lhs_depth: lhsTransposed ? lhsStride : 1, rhs: rhs.start,
            rhs_batch: rhsTransposed ? k : n, rhs_depth: rhsTransposed ? 1 : rhsStride,
            rhs_column: rhsTransposed ? rhsStride : 1, dst: dst.start, dst_batch: m * n, dst_row: n, scale: scale)
        alb_product_f32(setting.isa, setting.threads, &args)
        return dst
    }

    func left(_ b: Int, _ i: Int, _ p: Int) -> Double {
        Double(lhs.start[lhsTransposed ? p * lhsStride + b * m + i : i * lhsStride + b * k + p])
    }
    func right(_ b: Int, _ p: Int, _ j: Int) -> Double {
        Double(rhs.start[rhsTransposed ? j * rhsStride + b * k + p : p * rhsStride + b * n + j])
    }
}

@Suite("Float products")
struct ProductTests {
    @Test("every variant and thread count gives the scalar bytes", arguments: [1, 2, 7, 33, 127, 128, 129, 300])
    func variants(k: Int) {
        var random = TestRandom("products \(k)")
        for form in ProductCase.Form.allCases {
            for (batch, m, n) in [(1, 1, 1), (2, 2, 17), (3, 7, 65), (1, 33, 64), (2, 30, 130), (1, 65, 5), (12, 6, 16)] {
                let product = ProductCase(form, batch: batch, m, n, k, random: &random)
                let scale: Float = m % 2 == 0 ? 0.37 : 1
                let expected = product.run(reference, scale: scale)
                for setting in Setting.all {
                    #expect(
                        product.run(setting, scale: scale).firstDifference(from: expected) == nil,
                        "\(product), \(setting), seed \(random.seed)")
                }
            }
        }
    }

    /// A sum of k fused steps is off by at most k u Σ|a b|, u = 2^-24, and the scale adds one rounding.
    @Test("the scalar form stays within its bound of double precision", arguments: [1, 5, 64, 300])
    func doublePrecision(k: Int) {
        var random = TestRandom("product reference \(k)")
        for form in ProductCase.Form.allCases {
            let product = ProductCase(form, batch: 2, 3, 5, k, random: &random)
            let found = product.run(reference, scale: 0.3)
            for b in 0..<2 {
                for i in 0..<3 {
                    for j in 0..<5 {
                        let terms = (0..<k).map { product.left(b, i, $0) * product.right(b, $0, j) }
                        let expected = terms.reduce(0, +) * Double(Float(0.3))
                        let size = terms.reduce(0) { $0 + abs($1) } * 0.31
                        #expect(
                            abs(Double(found.start[(b * 3 + i) * 5 + j]) - expected) <= Double(k + 1) * 0x1p-24 * size + 1e-40,
                            "\(product) (\(b), \(i), \(j)), seed \(random.seed)")
                    }
                }
            }
        }
    }

    @Test("an empty depth gives zeros", arguments: Setting.instructionSets)
    func emptyDepth(isa: alb_isa) {
        let dst = Guarded<Float>([1, 2, 3, 4, 5, 6], .atEnd)
        let empty = Guarded<Float>(1, .atEnd)
        var args = alb_product_f32_args(
            batch: 1, rows: 2, columns: 3, depth: 0, lhs: empty.start, lhs_batch: 0, lhs_row: 0, lhs_depth: 1,
            rhs: empty.start, rhs_batch: 0, rhs_depth: 3, rhs_column: 1, dst: dst.start, dst_batch: 0, dst_row: 3, scale: 1)
        alb_product_f32(isa, 1, &args)
        #expect(dst.array == [0, 0, 0, 0, 0, 0])
    }
}

/// A linear layer's backward between guard pages, from int8 or float weights.
private final class BackwardCase {
    let m, n, k: Int
    let g: Guarded<Float>, weights: Guarded<Float>, bytes: Guarded<Int8>, scales: Guarded<Float>, before: Guarded<Float>
    private let isInt8: Bool

    init(_ m: Int, _ n: Int, _ k: Int, isInt8: Bool, random: inout TestRandom) {
        (self.m, self.n, self.k, self.isInt8) = (m, n, k, isInt8)
        g = Guarded(random: &random, m * (n + 1) - 1, .atEnd)
        scales = Guarded(random: &random, n, .atEnd)
        before = Guarded(random: &random, m * (k + 1) - 1, .atEnd)
        weights = Guarded(isInt8 ? 0 : paddedChannels(n) * k, .atEnd)
        bytes = Guarded(isInt8 ? paddedChannels(n) * paddedDepth(k) : 0, .atEnd)
        for i in 0..<weights.count { weights.start[i] = randomFloats[(i &* 31) % randomFloats.count] }
        for i in 0..<bytes.count { bytes.start[i] = Int8(truncatingIfNeeded: i &* 89 &+ i >> 7) }
    }

    func weight(_ channel: Int, _ input: Int) -> Double {
        if !isInt8 { return Double(weights.start[(channel / 16 * k + input) * 16 + channel % 16]) }
        let at = ((channel / 16 * (paddedDepth(k) / 4) + input / 4) * 16 + channel % 16) * 4 + input % 4
        return Double(bytes.start[at]) * Double(scales.start[channel])
    }

    func run(_ setting: Setting, accumulate: Bool) -> Guarded<Float> {
        let dst = Guarded(before.array, .atEnd)
        var args = alb_linear_backward_args(
            rows: m, channels: n, depth: k, g: g.start, g_row: n + 1, float_weights: isInt8 ? nil : UnsafePointer(weights.start),
            int8_weights: isInt8 ? UnsafePointer(bytes.start) : nil, scales: isInt8 ? UnsafePointer(scales.start) : nil,
            accumulate: accumulate, dst: dst.start, dst_row: k + 1)
        alb_linear_backward(setting.isa, setting.threads, &args)
        return dst
    }
}

@Suite("Backward of a linear layer")
struct LinearBackwardTests {
    @Test("every variant and thread count gives the scalar bytes", arguments: [false, true])
    func variants(isInt8: Bool) {
        var random = TestRandom("linear backward \(isInt8)")
        for (m, n, k) in [(1, 1, 1), (2, 15, 5), (3, 16, 64), (7, 17, 65), (30, 130, 33), (33, 257, 130), (1, 768, 768)] {
            let layer = BackwardCase(m, n, k, isInt8: isInt8, random: &random)
            for accumulate in [false, true] {
                let expected = layer.run(reference, accumulate: accumulate)
                for setting in Setting.all {
                    #expect(
                        layer.run(setting, accumulate: accumulate).firstDifference(from: expected) == nil,
                        "\(m)x\(n)x\(k), \(setting), seed \(random.seed)")
                }
            }
        }
    }

    /// The n fused steps, and the product of gradient and scale, are each off by at most u = 2^-24 of what they sum.
    @Test("the scalar form stays within its bound of double precision", arguments: [false, true])
    func doublePrecision(isInt8: Bool) {
        var random = TestRandom("linear backward reference \(isInt8)")
        for (m, n, k) in [(2, 3, 5), (3, 40, 7)] {
            let layer = BackwardCase(m, n, k, isInt8: isInt8, random: &random)
            for accumulate in [false, true] {
                let found = layer.run(reference, accumulate: accumulate)
                for i in 0..<m {
                    for c in 0..<k {
                        let terms = (0..<n).map { Double(layer.g.start[i * (n + 1) + $0]) * layer.weight($0, c) }
                        let start = accumulate ? Double(layer.before.start[i * (k + 1) + c]) : 0
                        let bound = Double(n + 3) * 0x1p-24 * (abs(start) + terms.reduce(0) { $0 + abs($1) }) + 1e-40
                        #expect(abs(Double(found.start[i * (k + 1) + c]) - start - terms.reduce(0, +)) <= bound)
                    }
                }
                // Between the rows nothing is written.
                #expect(found.start[k] == layer.before.start[k])
            }
        }
    }
}
