import CAlbefKernels
import Foundation
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)
private let widths = [1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 65, 130, 577, 768]

/// Matrices of one shape between guard pages, with gaps between their rows.
private struct Matrices {
    let m, n, stride: Int
    let a, b, c: Guarded<Float>
    let row: Guarded<Float>, column: Guarded<Float>
    let placement: Guarded<Float>.Placement

    init(_ m: Int, _ n: Int, _ placement: Guarded<Float>.Placement, gap: Int, _ random: inout TestRandom) {
        (self.m, self.n, self.placement) = (m, n, placement)
        stride = n + gap
        let count = (m - 1) * stride + n
        a = Guarded(random: &random, count, placement)
        b = Guarded(random: &random, count, placement)
        c = Guarded(random: &random, count, placement)
        row = Guarded(random: &random, n, placement)
        column = Guarded(random: &random, m, placement)
    }

    private func result(_ count: Int, _ body: (Guarded<Float>) -> Void) -> Guarded<Float> {
        let dst = Guarded<Float>(count, placement)
        dst.fill(byte: 0xa5)
        body(dst)
        return dst
    }

    func layerNorm(_ s: Setting) -> Guarded<Float> {
        result(m * n) {
            alb_layer_norm_backward(s.isa, s.threads, m, n, a.start, stride, b.start, stride, column.start, row.start, $0.start, n)
        }
    }
    func gelu(_ s: Setting) -> Guarded<Float> {
        result(m * n) { alb_gelu_backward(s.isa, s.threads, m, n, a.start, stride, b.start, stride, $0.start, n) }
    }
    func add(_ s: Setting) -> Guarded<Float> {
        result(m * n) { alb_add(s.isa, s.threads, m, n, a.start, stride, b.start, stride, $0.start, n) }
    }
    func l2Normalize(_ s: Setting) -> Guarded<Float> {
        result(m * n) { alb_l2_normalize_backward(s.isa, s.threads, m, n, a.start, stride, b.start, stride, $0.start, n) }
    }
    /// The ids go around the columns; the weights are `column`.
    func logSoftmax(_ s: Setting) -> Guarded<Float> {
        let ids = Guarded<Int32>((0..<m).map { Int32($0 * 7 % n) }, .atEnd)
        return result(m * n) {
            alb_log_softmax_backward(s.isa, s.threads, m, n, a.start, stride, ids.start, column.start, $0.start, n)
        }
    }
    func mean(_ s: Setting) -> Guarded<Float> {
        result(n) { alb_mean_rows(s.isa, s.threads, m, n, a.start, stride, $0.start) }
    }
    /// Dense operations: only without gaps.
    func softmaxBackward(_ s: Setting) -> Guarded<Float> {
        precondition(stride == n)
        return result(m * n) { alb_softmax_backward(s.isa, s.threads, m, n, a.start, b.start, 0.125, $0.start) }
    }
    func gradCAM(_ s: Setting, heads: Int) -> Guarded<Float> {
        precondition(stride == n && m % heads == 0)
        return result(m / heads * (n - 1)) {
            alb_grad_cam(s.isa, s.threads, heads, m / heads, n, a.start, b.start, $0.start)
        }
    }
    func values(_ x: Guarded<Float>, _ i: Int) -> [Double] { (0..<n).map { Double(x.start[i * stride + $0]) } }
}

@Suite("Gradients, row by row")
struct GradientTests {
    @Test("every variant and thread count gives the scalar bytes", arguments: widths)
    func variants(n: Int) {
        var random = TestRandom("gradients \(n)")
        for (index, m) in [1, 3, 30].enumerated() {
            let x = Matrices(m, n, index % 2 == 0 ? .atEnd : .atStart, gap: index % 2, &random)
            var operations: [(String, (Setting) -> Guarded<Float>)] = [
                ("LayerNorm", x.layerNorm), ("GELU", x.gelu), ("add", x.add), ("mean", x.mean),
                ("unit length", x.l2Normalize), ("log-softmax", x.logSoftmax),
            ]
            if x.stride == n { operations.append(("softmax", x.softmaxBackward)) }
            if x.stride == n && n > 1 { operations.append(("Grad-CAM", { x.gradCAM($0, heads: m > 1 ? 6 : 1) })) }
            for (name, run) in operations {
                let expected = run(reference)
                for setting in Setting.all {
                    #expect(
                        run(setting).firstDifference(from: expected) == nil,
                        "\(name) of \(m)x\(n), \(setting), seed \(random.seed)")
                }
            }
        }
    }

    @Test("in place gives the same bytes", arguments: Setting.instructionSets)
    func inPlace(isa: alb_isa) {
        var random = TestRandom("gradients in place")
        let setting = Setting(isa: isa, threads: 1)
        let x = Matrices(3, 33, .atEnd, gap: 0, &random)
        let norm = x.layerNorm(setting), gelu = x.gelu(setting), sum = x.add(setting), soft = x.softmaxBackward(setting)
        let log = x.logSoftmax(setting), ids = Guarded<Int32>([0, 7, 14], .atEnd)
        func check(_ expected: Guarded<Float>, _ run: (Guarded<Float>) -> Void) {
            let dst = Guarded(x.a.array, .atEnd)
            run(dst)
            #expect(dst.firstDifference(from: expected) == nil)
        }
        check(norm) {
            alb_layer_norm_backward(isa, 1, 3, 33, $0.start, 33, x.b.start, 33, x.column.start, x.row.start, $0.start, 33)
        }
        check(gelu) { alb_gelu_backward(isa, 1, 3, 33, $0.start, 33, x.b.start, 33, $0.start, 33) }
        check(sum) { alb_add(isa, 1, 3, 33, $0.start, 33, x.b.start, 33, $0.start, 33) }
        check(soft) { alb_softmax_backward(isa, 1, 3, 33, $0.start, x.b.start, 0.125, $0.start) }
        check(log) { alb_log_softmax_backward(isa, 1, 3, 33, $0.start, 33, ids.start, x.column.start, $0.start, 33) }
    }

    @Test("add, mean and Grad-CAM agree with hand-written values")
    func byHand() {
        let a = Guarded<Float>([1, 2, 3, 4, 5, 6], .atEnd), b = Guarded<Float>([10, 20, 30, -1, -2, 0.5], .atEnd)
        let sum = Guarded<Float>(6, .atEnd), mean = Guarded<Float>(3, .atEnd), cam = Guarded<Float>(2, .atEnd)
        alb_add(ALB_ISA_SCALAR, 1, 2, 3, a.start, 3, b.start, 3, sum.start, 3)
        #expect(sum.array == [11, 22, 33, 3, 3, 6.5])
        alb_mean_rows(ALB_ISA_SCALAR, 1, 2, 3, a.start, 3, mean.start)
        #expect(mean.array == [2.5, 3.5, 4.5])
        // Two heads, one query, three keys, of which the first is dropped and negative gradients do not count.
        alb_grad_cam(ALB_ISA_SCALAR, 1, 2, 1, 3, a.start, b.start, cam.start)
        #expect(cam.array == [20, (90 + 3) / 2])
    }

    /// The derivative of the forward pass in double precision, by central differences with step h: their own error is about
    /// 1e-16 / h + h^2; float adds 1e-6 of the terms.
    @Test("LayerNorm's gradient is the derivative of LayerNorm", arguments: [2, 17, 64])
    func layerNormDerivative(n: Int) {
        var random = TestRandom("LayerNorm derivative \(n)")
        let source = Matrices(1, n, .atEnd, gap: 0, &random)
        let x = source.values(source.a, 0), g = source.values(source.b, 0), weight = source.values(source.row, 0)
        let epsilon = 1e-3
        func normalize(_ x: [Double]) -> (x: [Double], r: Double) {
            let mean = x.reduce(0, +) / Double(n)
            let r = 1 / (x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n) + epsilon).squareRoot()
            return (x.map { ($0 - mean) * r }, r)
        }
        let forward = normalize(x)
        let normalized = Guarded(forward.x.map { Float($0) }, .atEnd), r = Guarded([Float(forward.r)], .atEnd)
        let found = Guarded<Float>(n, .atEnd)
        alb_layer_norm_backward(
            ALB_ISA_SCALAR, 1, 1, n, source.b.start, n, normalized.start, n, r.start, source.row.start, found.start, n)
        let size = zip(g, weight).map { abs($0 * $1) }.max()! * forward.r
        for i in 0..<n {
            let slope = derivative(x, i) { zip(zip(normalize($0).x, g), weight).reduce(0) { $0 + $1.0.0 * $1.0.1 * $1.1 } }
            #expect(abs(Double(found.start[i]) - slope) <= 1e-5 * max(size, abs(slope)), "\(i) of \(n), seed \(random.seed)")
        }
    }

    @Test("GELU's gradient is the derivative of GELU")
    func geluDerivative() {
        let h = Guarded((-80...80).map { Float($0) / 8 } + [-0.0, 1e-30, 30, -30, 1e20, -1e20], .atEnd)
        let g = Guarded([Float](repeating: 2, count: h.count), .atEnd), found = Guarded<Float>(h.count, .atEnd)
        alb_gelu_backward(ALB_ISA_SCALAR, 1, 1, h.count, g.start, h.count, h.start, h.count, found.start, h.count)
        for i in 0..<h.count {
            let x = Double(h.start[i])
            let expected = 2 * (0.5 * (1 + erf(x / 2.0.squareRoot())) + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot())
            #expect(abs(Double(found.start[i]) - expected) <= 2e-6, "GELU' of \(x)")
        }
    }

    @Test("softmax's gradient is the derivative of softmax", arguments: [1, 2, 17, 65])
    func softmaxDerivative(n: Int) {
        var random = TestRandom("softmax derivative \(n)")
        let source = Matrices(1, n, .atEnd, gap: 0, &random)
        let x = source.values(source.a, 0), g = source.values(source.b, 0)
        let p = Guarded(softmax(x.map { 0.125 * $0 }).map { Float($0) }, .atEnd), found = Guarded<Float>(n, .atEnd)
        alb_softmax_backward(ALB_ISA_SCALAR, 1, 1, n, source.b.start, p.start, 0.125, found.start)
        let size = g.map(abs).max()!
        for i in 0..<n {
            let slope = derivative(x, i) { zip(softmax($0.map { 0.125 * $0 }), g).reduce(0) { $0 + $1.0 * $1.1 } }
            #expect(abs(Double(found.start[i]) - slope) <= 1e-6 * max(1, size), "\(i) of \(n), seed \(random.seed)")
        }
    }
}

/// The slope of `f` along one coordinate, by central differences in double precision.
func derivative(_ x: [Double], _ i: Int, _ f: ([Double]) -> Double) -> Double {
    let step = 1e-5 * max(1, abs(x[i]))
    var above = x, below = x
    above[i] += step
    below[i] -= step
    return (f(above) - f(below)) / (2 * step)
}
