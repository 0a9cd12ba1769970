import AlbefKernels
import AlbefTensor
import CAlbefKernels
import Foundation
import Testing

@Suite("Gradients of scores")
struct ScoreGradientTests {
    @Test("unit length's gradient is the derivative of unit length", arguments: [1, 2, 17, 64, 256])
    func unitLength(n: Int) {
        var random = TestRandom("unit length derivative \(n)")
        let g = Guarded(random: &random, n, .atEnd), x = Guarded(random: &random, n, .atEnd), found = Guarded<Float>(n, .atEnd)
        x.start[0] += 1
        alb_l2_normalize_backward(ALB_ISA_SCALAR, 1, 1, n, g.start, n, x.start, n, found.start, n)
        let point = x.array.map(Double.init), slopes = g.array.map(Double.init)
        func score(_ x: [Double]) -> Double {
            zip(x, slopes).reduce(0) { $0 + $1.0 * $1.1 } / x.reduce(0) { $0 + $1 * $1 }.squareRoot()
        }
        let size = slopes.map(abs).max()! / point.reduce(0) { $0 + $1 * $1 }.squareRoot()
        for i in 0..<n {
            let slope = derivative(point, i, score)
            #expect(abs(Double(found.start[i]) - slope) <= 2e-6 * max(size, abs(slope)), "\(i) of \(n), seed \(random.seed)")
        }
    }

    @Test("a row of no length gives a finite gradient")
    func noLength() {
        let g = Guarded<Float>([1, -2], .atEnd), x = Guarded<Float>([0, 0], .atEnd), found = Guarded<Float>(2, .atEnd)
        alb_l2_normalize_backward(ALB_ISA_SCALAR, 1, 1, 2, g.start, 2, x.start, 2, found.start, 2)
        #expect(found.array == [1 / 1e-12, -2 / 1e-12])
    }

    @Test("log-softmax's gradient is the derivative of log-softmax", arguments: [2, 17, 65])
    func logSoftmax(n: Int) throws {
        var random = TestRandom("log-softmax derivative \(n)")
        let logits = Guarded(random: &random, 2 * n, .atEnd).array
        let ids = [Int32(n - 1), 0], weights: [Float] = [2, -0.5]
        let found = try gradient(logits, ids, weights)
        for row in 0..<2 {
            let x = logits[row * n..<(row + 1) * n].map(Double.init)
            for i in 0..<n {
                let slope = derivative(x, i) { x in
                    Double(weights[row]) * (x[Int(ids[row])] - log(x.reduce(0) { $0 + exp($1) }))
                }
                #expect(abs(Double(found[row * n + i]) - slope) <= 2e-6, "\(i) of \(n), seed \(random.seed)")
            }
        }
    }

    @Test("the gradient of a word that is almost certain keeps its digits")
    func certain() throws {
        let logits: [Float] = [30, 3, 2, -40]
        let found = try gradient(logits, [0], [1])
        let exact = logits.map { exp(Double($0) - 30) }
        let others = exact.dropFirst().reduce(0, +)
        let expected = [others / (1 + others)] + exact.dropFirst().map { -$0 / (1 + others) }
        #expect(others < 1e-11)
        for (own, truth) in zip(found, expected) { #expect(abs(Double(own) - truth) <= 1e-6 * abs(truth)) }
    }

    /// By the Swift face, from logits `[ids, words]`.
    private func gradient(_ logits: [Float], _ ids: [Int32], _ weights: [Float]) throws -> [Float] {
        let kernels = try Kernels(threads: 1), arena = Arena(capacity: 1 << 16)
        let x = arena.reserve(Shape(ids.count, logits.count / ids.count))
        arena.write(logits.span, to: x)
        let words = arena.reserve(Shape(ids.count), .int32), factors = arena.reserve(Shape(ids.count))
        arena.write(ids.span, to: words)
        arena.write(weights.span, to: factors)
        kernels.softmax(x, to: x, in: arena)
        kernels.logSoftmaxBackward(x, ids: words, weights: factors, to: x, in: arena)
        return arena.read(x)
    }
}
