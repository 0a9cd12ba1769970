import CAlbefKernels
import Foundation
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)
private let widths = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 130, 577, 768, 3072]

/// Rows between guard pages and an operation on them.
private struct RowCase {
    let m, n, stride: Int
    let src: Guarded<Float>
    let placement: Guarded<Float>.Placement

    init(_ m: Int, _ n: Int, _ placement: Guarded<Float>.Placement, _ random: inout TestRandom) {
        (self.m, self.n, self.placement) = (m, n, placement)
        stride = n + m % 2
        src = Guarded(random: &random, (m - 1) * stride + n, placement)
    }

    /// Runs the operation with a result of `columns` a row.
    func run(
        _ operation: (alb_isa, Int32, UnsafePointer<alb_rows_args>) -> Void, columns: Int, ids: Guarded<Int32>? = nil,
        _ setting: Setting
    ) -> Guarded<Float> {
        let dst = Guarded<Float>(m * columns, placement)
        dst.fill(byte: 0xa5)
        var args = alb_rows_args(
            m: m, n: n, src: src.start, src_stride: stride, ids: ids.map { UnsafePointer($0.start) }, id_ends: nil,
            dst: dst.start, dst_stride: columns)
        operation(setting.isa, setting.threads, &args)
        return dst
    }

    func row(_ index: Int) -> [Double] { (0..<n).map { Double(src.start[index * stride + $0]) } }
}

@Suite("Operations on rows")
struct RowsTests {
    @Test("softmax, log-softmax, unit length and sums: every variant gives the scalar bytes", arguments: widths)
    func variants(n: Int) {
        var random = TestRandom("row variants \(n)")
        for (index, m) in [1, 2, 5, 17].enumerated() {
            let rows = RowCase(m, n, index % 2 == 0 ? .atStart : .atEnd, &random)
            let ids = Guarded((0..<m).map { Int32($0 * 7 % n) }, .atEnd)
            let operations: [(String, Int, (Setting) -> Guarded<Float>)] = [
                ("softmax", n, { rows.run(alb_softmax_f32, columns: n, $0) }),
                ("log-softmax", 1, { rows.run(alb_log_softmax_gather_f32, columns: 1, ids: ids, $0) }),
                ("unit length", n, { rows.run(alb_l2_normalize_f32, columns: n, $0) }),
                ("sum", 1, { rows.run(alb_sum_f32, columns: 1, $0) }),
            ]
            for (name, _, run) in operations {
                let expected = run(reference)
                for setting in Setting.all {
                    #expect(
                        run(setting).firstDifference(from: expected) == nil,
                        "\(name) of \(m)x\(n), \(setting), seed \(random.seed)")
                }
            }
        }
    }

    @Test("log-probabilities of any number of ids a row are those of one id a row", arguments: [1, 16, 33, 1000])
    func severalIDs(n: Int) {
        var random = TestRandom("several ids \(n)")
        let counts = [0, 3, 1, 0, 40, 1, 0], m = counts.count
        let rows = RowCase(m, n, .atEnd, &random)
        let total = counts.reduce(0, +)
        let ids = Guarded((0..<total).map { Int32($0 * 11 % n) }, .atEnd)
        var end: Int32 = 0
        let ends = Guarded(counts.map { count in (end += Int32(count), end).1 }, .atEnd)
        for setting in Setting.all {
            let dst = Guarded<Float>(total, .atEnd)
            var args = alb_rows_args(
                m: m, n: n, src: rows.src.start, src_stride: rows.stride, ids: ids.start, id_ends: ends.start,
                dst: dst.start, dst_stride: 1)
            alb_log_softmax_gather_f32(setting.isa, setting.threads, &args)
            var place = 0
            for (row, count) in counts.enumerated() {
                for _ in 0..<count {
                    let one = Guarded(Array(repeating: ids.start[place], count: m), .atEnd)
                    let alone = rows.run(alb_log_softmax_gather_f32, columns: 1, ids: one, reference)
                    #expect(
                        dst.start[place].bitPattern == alone.start[row].bitPattern,
                        "row \(row), id \(place), \(setting), seed \(random.seed)")
                    place += 1
                }
            }
        }
    }

    @Test("the scalar forms agree with double precision", arguments: [1, 3, 16, 33, 130])
    func doublePrecision(n: Int) {
        var random = TestRandom("row reference \(n)")
        let m = 3
        let rows = RowCase(m, n, .atEnd, &random)
        let ids = Guarded((0..<m).map { Int32($0 % n) }, .atEnd)
        let softmax = rows.run(alb_softmax_f32, columns: n, reference).array
        let logs = rows.run(alb_log_softmax_gather_f32, columns: 1, ids: ids, reference).array
        let unit = rows.run(alb_l2_normalize_f32, columns: n, reference).array
        let sums = rows.run(alb_sum_f32, columns: 1, reference).array
        for i in 0..<m {
            let x = rows.row(i)
            let peak = x.max() ?? 0
            let exponentials = x.map { exp($0 - peak) }
            let total = exponentials.reduce(0, +)
            let length = max(1e-12, x.reduce(0) { $0 + $1 * $1 }.squareRoot())
            for j in 0..<n {
                #expect(abs(Double(softmax[i * n + j]) - exponentials[j] / total) <= 1e-6 * exponentials[j] / total)
                #expect(abs(Double(unit[i * n + j]) - x[j] / length) <= 1e-6 * abs(x[j] / length))
            }
            let log = x[Int(ids.start[i])] - peak - Foundation.log(total)
            #expect(abs(Double(logs[i]) - log) <= 1e-6 * max(1, abs(log)))
            #expect(abs(Double(sums[i]) - x.reduce(0, +)) <= 1e-6 * x.reduce(0) { $0 + abs($1) })
        }
    }

    @Test("the order of summation is that of sixteen accumulators, folded by halves")
    func orderOfSummation() {
        // 1e8 and -1e8 meet in one accumulator (0 and 16), so the ones beside them survive; in plain order they would not.
        var x = [Float](repeating: 0, count: 33)
        (x[0], x[1], x[16], x[32]) = (1e8, 1, -1e8, 3)
        let rows = Guarded(x, .atEnd)
        for setting in Setting.all {
            let dst = Guarded<Float>(1, .atEnd)
            var args = alb_rows_args(
                m: 1, n: 33, src: rows.start, src_stride: 33, ids: nil, id_ends: nil, dst: dst.start, dst_stride: 1)
            alb_sum_f32(setting.isa, setting.threads, &args)
            #expect(dst.start[0] == 4)
        }
        // Lane 8 is folded onto lane 0 first: (1e8 + -1e8) + 1 and not 1e8 + (-1e8 + 1).
        var y = [Float](repeating: 0, count: 16)
        (y[0], y[4], y[8]) = (1e8, 1, -1e8)
        let other = Guarded(y, .atEnd)
        for setting in Setting.all {
            let dst = Guarded<Float>(1, .atEnd)
            var args = alb_rows_args(
                m: 1, n: 16, src: other.start, src_stride: 16, ids: nil, id_ends: nil, dst: dst.start, dst_stride: 1)
            alb_sum_f32(setting.isa, setting.threads, &args)
            #expect(dst.start[0] == 1)
        }
    }

    @Test("normalising and quantising at once gives the bytes of one after the other", arguments: widths)
    func layerNormQuantized(n: Int) {
        var random = TestRandom("layer norm quantised \(n)")
        for m in [1, 3, 4, 9, 17] {
            let rows = RowCase(m, n, .atEnd, &random), padded = paddedDepth(n)
            let weight = Guarded(random: &random, n, .atEnd), bias = Guarded(random: &random, n, .atEnd)
            let dst = Guarded<Float>(m * n, .atEnd)
            func norm(into dst: Guarded<Float>) -> alb_layer_norm_args {
                alb_layer_norm_args(
                    m: m, n: n, src: rows.src.start, src_stride: rows.stride, weight: weight.start, bias: bias.start,
                    epsilon: 1e-6, dst: dst.start, dst_stride: n, normalized: nil, reciprocals: nil)
            }
            func result(_ body: (inout alb_quantize_args) -> Void) -> (Guarded<UInt8>, Guarded<Float>, Guarded<Int32>) {
                let made = (Guarded<UInt8>(m * padded, .atEnd), Guarded<Float>(m, .atEnd), Guarded<Int32>(m, .atEnd))
                var args = alb_quantize_args(
                    m: m, k: n, src: dst.start, src_stride: n, dst: made.0.start, dst_stride: padded,
                    scales: made.1.start, zero_points: made.2.start)
                body(&args)
                return made
            }
            let expected = result { args in
                var first = norm(into: dst)
                alb_layer_norm_f32(reference.isa, 1, &first)
                alb_quantize_qu8d_f32(reference.isa, 1, &args)
            }
            for setting in Setting.all {
                let scratch = Guarded<Float>(Int(setting.threads) * Int(ALB_LAYER_NORM_SCRATCH_ROWS) * n, .atEnd)
                let found = result { args in
                    var first = norm(into: scratch)
                    alb_layer_norm_qu8d_f32(setting.isa, setting.threads, &first, &args, scratch.start)
                }
                #expect(
                    found.0.firstDifference(from: expected.0) == nil && found.1.firstDifference(from: expected.1) == nil
                        && found.2.firstDifference(from: expected.2) == nil,
                    "\(m)x\(n), \(setting), seed \(random.seed)")
            }
        }
    }

    @Test("layer norm: every variant gives the scalar bytes, with and without what the gradient needs", arguments: widths)
    func layerNormVariants(n: Int) {
        var random = TestRandom("layer norm \(n)")
        for (index, m) in [1, 2, 5, 17].enumerated() {
            let rows = RowCase(m, n, index % 2 == 0 ? .atStart : .atEnd, &random)
            let weight = Guarded(random: &random, n, rows.placement), bias = Guarded(random: &random, n, rows.placement)
            func run(_ setting: Setting, keeping: Bool) -> [Guarded<Float>] {
                let dst = Guarded<Float>(m * n, rows.placement)
                let normalized = Guarded<Float>(m * n, rows.placement), reciprocals = Guarded<Float>(m, rows.placement)
                var args = alb_layer_norm_args(
                    m: m, n: n, src: rows.src.start, src_stride: rows.stride, weight: weight.start, bias: bias.start,
                    epsilon: 1e-6, dst: dst.start, dst_stride: n, normalized: keeping ? normalized.start : nil,
                    reciprocals: keeping ? reciprocals.start : nil)
                alb_layer_norm_f32(setting.isa, setting.threads, &args)
                return [dst, normalized, reciprocals]
            }
            let expected = run(reference, keeping: true)
            for setting in Setting.all {
                for (a, b) in zip(run(setting, keeping: true), expected) {
                    #expect(a.firstDifference(from: b) == nil, "\(m)x\(n), \(setting), seed \(random.seed)")
                }
                #expect(run(setting, keeping: false)[0].firstDifference(from: expected[0]) == nil)
            }
            if n > 1 && n < 200 {
                for i in 0..<m {
                    let x = rows.row(i)
                    let mean = x.reduce(0, +) / Double(n)
                    let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n)
                    let r = 1 / (variance + 1e-6).squareRoot()
                    #expect(abs(Double(expected[2].start[i]) - r) <= 1e-5 * r)
                    for j in 0..<n {
                        let y = (x[j] - mean) * r * Double(weight.start[j]) + Double(bias.start[j])
                        #expect(abs(Double(expected[0].start[i * n + j]) - y) <= 1e-5 * max(1, abs(y)))
                    }
                }
            }
        }
    }

    @Test("a row may be normalised and its softmax taken in place")
    func inPlace() {
        var random = TestRandom("in place")
        let m = 3, n = 37
        let rows = RowCase(m, n, .atEnd, &random)
        for setting in Setting.all {
            for operation in [alb_softmax_f32, alb_l2_normalize_f32] {
                let apart = rows.run(operation, columns: n, setting)
                let copy = Guarded<Float>(m * n, .atEnd)
                for i in 0..<m { for j in 0..<n { copy.start[i * n + j] = rows.src.start[i * rows.stride + j] } }
                var args = alb_rows_args(
                    m: m, n: n, src: copy.start, src_stride: n, ids: nil, id_ends: nil, dst: copy.start, dst_stride: n)
                operation(setting.isa, setting.threads, &args)
                #expect(copy.firstDifference(from: apart) == nil, "\(setting)")
            }
        }
    }

    @Test("a zero vector stays zero at unit length")
    func zeroVector() {
        let src = Guarded([Float](repeating: 0, count: 20), .atEnd)
        for setting in Setting.all {
            let dst = Guarded<Float>(20, .atEnd)
            var args = alb_rows_args(m: 1, n: 20, src: src.start, src_stride: 20, ids: nil, id_ends: nil, dst: dst.start, dst_stride: 20)
            alb_l2_normalize_f32(setting.isa, setting.threads, &args)
            #expect(dst.array.allSatisfy { $0 == 0 })
        }
    }

    @Test("one infinity or NaN anywhere is found, and nothing else is")
    func allFinite() {
        let m = 3, n = 35, stride = 40
        let values = Guarded([Float](repeating: .greatestFiniteMagnitude, count: (m - 1) * stride + n), .atEnd)
        for index in 0..<values.count { values.start[index] *= index % 3 == 0 ? -1 : 1 }
        (values.start[1], values.start[2]) = (.leastNonzeroMagnitude, -0.0)
        #expect(alb_all_finite_f32(m, n, values.start, stride))
        for index in 0..<values.count {
            let kept = values.start[index]
            for bad in [Float.infinity, -Float.infinity, Float.nan, Float.signalingNaN] {
                values.start[index] = bad
                #expect(alb_all_finite_f32(m, n, values.start, stride) == (index % stride >= n), "\(bad) at \(index)")
            }
            values.start[index] = kept
        }
    }
}
