import AlbefKernels
import AlbefTensor
import Foundation
import Testing

/// Everything that attention's Swift face offers, on one small layer: a fused projection's columns as queries, keys and
/// values, then the gradients of all three.
private struct AttentionPass {
    let heads = 3, width = 5, tokens = 7, keys = 18
    var columns: Int { heads * width }
    let q, kv, o: [Float]

    init() {
        let random = randomFloats
        q = Array(random[0..<7 * 15])
        kv = Array(random[5000..<5000 + 18 * 40])
        o = Array(random[9000..<9000 + 7 * 15])
    }

    struct Results { let y, maps, dP, dS, dQ, dK, dV, product, cam, mean, quantized, quantizedTail: [Float] }

    func run(_ kernels: Kernels, in arena: Arena) -> Results {
        let q = arena.reserve(Shape(tokens, columns)), fused = arena.reserve(Shape(keys, 40))
        let o = arena.reserve(Shape(tokens, columns))
        arena.write(self.q.span, to: q)
        arena.write(self.kv.span, to: fused)
        arena.write(self.o.span, to: o)
        let k = fused.columns(1..<16), v = fused.columns(20..<35)
        let y = arena.reserve(Shape(tokens, columns)), maps = arena.reserve(Shape(heads, tokens, keys))
        kernels.attention(q, k, v, heads: heads, probabilities: maps, to: y, in: arena)
        let dP = arena.reserve(maps.shape), dS = arena.reserve(maps.shape)
        kernels.attentionBackwardProbabilities(o, v: v, heads: heads, to: dP, in: arena)
        kernels.attentionBackwardScores(
            dP, probabilities: maps, scale: Kernels.attentionScale(width: width), to: dS, in: arena)
        let dQ = arena.reserve(Shape(tokens, columns)), dK = arena.reserve(Shape(keys, columns))
        let dV = arena.reserve(Shape(keys, columns))
        kernels.attentionBackwardQueries(dS, keys: k, to: dQ, in: arena)
        kernels.attentionBackwardKeys(dS, queries: q, to: dK, in: arena)
        kernels.attentionBackwardValues(maps, outputGradient: o, to: dV, in: arena)
        let product = arena.reserve(Shape(keys, columns))
        kernels.product(k, transposed: false, k, transposed: true, scale: 2, to: arena.reserve(Shape(keys, keys)), in: arena)
        kernels.product(
            maps.reshaped(Shape(heads * tokens, keys)).rows(0..<tokens), transposed: true, o, to: product, in: arena)
        let cam = arena.reserve(Shape(tokens, keys - 1)), mean = arena.reserve(Shape(keys - 1))
        kernels.gradCAM(probabilities: maps, gradient: dP, to: cam, in: arena)
        kernels.meanRows(cam, to: mean, in: arena)
        let quantized = kernels.quantizeKeysValues(k, v, heads: heads, in: arena)
        let z = arena.reserve(Shape(tokens, columns)), tail = arena.reserve(Shape(2, columns))
        kernels.attention(q, quantized, heads: heads, to: z, in: arena)
        kernels.attention(q.rows(5..<7), quantized, heads: heads, to: tail, in: arena)
        return Results(
            y: arena.read(y), maps: arena.read(maps), dP: arena.read(dP), dS: arena.read(dS), dQ: arena.read(dQ),
            dK: arena.read(dK), dV: arena.read(dV), product: arena.read(product), cam: arena.read(cam),
            mean: arena.read(mean), quantized: arena.read(z), quantizedTail: arena.read(tail))
    }

    /// The loss Σ o * y in double precision, of queries and the fused keys and values.
    func loss(_ q: [Double], _ kv: [Double]) -> Double {
        var sum = 0.0
        for head in 0..<heads {
            for t in 0..<tokens {
                let scores = (0..<keys).map { j in
                    (0..<width).reduce(0) { $0 + q[t * columns + head * width + $1] * kv[j * 40 + 1 + head * width + $1] }
                        / Double(width).squareRoot()
                }
                let p = softmax(scores)
                for c in 0..<width {
                    let y = (0..<keys).reduce(0) { $0 + p[$1] * kv[$1 * 40 + 20 + head * width + c] }
                    sum += y * Double(o[t * columns + head * width + c])
                }
            }
        }
        return sum
    }
}

@Suite("Attention through the Swift face")
struct AttentionFaceTests {
    @Test("a planning arena needs exactly what the pass uses", arguments: [1, 3])
    func planning(threads: Int) throws {
        let kernels = try Kernels(threads: threads)
        let pass = AttentionPass(), plan = Arena.planning()
        _ = pass.run(kernels, in: plan)
        let arena = Arena(capacity: plan.peak)
        let first = pass.run(kernels, in: arena)
        #expect(arena.peak == plan.peak && arena.used == plan.used)
        #expect(first.y.contains { $0 != 0 })
    }

    @Test("the gradients of queries, keys and values are the derivatives of the attention")
    func derivatives() throws {
        let pass = AttentionPass()
        let results = pass.run(try Kernels(isa: .scalar, threads: 1), in: Arena(capacity: 1 << 20))
        let q = pass.q.map { Double($0) }, kv = pass.kv.map { Double($0) }
        // Central differences are good to about 1e-9 here; float sums of some hundred terms of size below 8 to 1e-4.
        for i in 0..<pass.tokens * pass.columns {
            let slope = derivative(q, i) { pass.loss($0, kv) }
            #expect(abs(Double(results.dQ[i]) - slope) < 1e-4 * max(1, abs(slope)), "query element \(i)")
        }
        for j in 0..<pass.keys {
            for c in 0..<pass.columns {
                let keySlope = derivative(kv, j * 40 + 1 + c) { pass.loss(q, $0) }
                let valueSlope = derivative(kv, j * 40 + 20 + c) { pass.loss(q, $0) }
                #expect(abs(Double(results.dK[j * pass.columns + c]) - keySlope) < 1e-4 * max(1, abs(keySlope)))
                #expect(abs(Double(results.dV[j * pass.columns + c]) - valueSlope) < 1e-4 * max(1, abs(valueSlope)))
            }
        }
    }

    @Test("Grad-CAM is the head mean of probabilities and positive gradients, without the first key")
    func gradCAM() throws {
        let pass = AttentionPass()
        let results = pass.run(try Kernels(isa: .scalar, threads: 1), in: Arena(capacity: 1 << 20))
        for t in 0..<pass.tokens {
            for j in 1..<pass.keys {
                let expected = (0..<pass.heads).reduce(0.0) { sum, head in
                    let at = (head * pass.tokens + t) * pass.keys + j
                    return sum + Double(results.maps[at]) * max(0, Double(results.dP[at])) / Double(pass.heads)
                }
                #expect(abs(Double(results.cam[t * (pass.keys - 1) + j - 1]) - expected) < 1e-5)
            }
        }
    }

    @Test("every instruction set and thread count gives the scalar bytes, and rows alone theirs", arguments: testedISAs)
    func variants(isa: ISA) throws {
        let pass = AttentionPass()
        let expected = pass.run(try Kernels(isa: .scalar, threads: 1), in: Arena(capacity: 1 << 20))
        for threads in [1, 2, 3, 8] {
            let found = pass.run(try Kernels(isa: isa, threads: threads), in: Arena(capacity: 1 << 20))
            for (a, b) in zip(Mirror(reflecting: found).children, Mirror(reflecting: expected).children) {
                let x = try #require(a.value as? [Float]), y = try #require(b.value as? [Float])
                #expect(x.map(\.bitPattern) == y.map(\.bitPattern), "\(a.label ?? "") with \(threads) threads")
            }
            #expect(found.quantizedTail == Array(found.quantized[5 * pass.columns..<7 * pass.columns]))
        }
    }

    /// A feed-forward block y = LayerNorm(W x), its packed weights in both forms, by the chain of its gradients. The weights
    /// are those that the packed matrix stands for, so that the derivative in double precision is of the same function;
    /// float sums of 20 terms are good to 1e-5 of their size.
    @Test("the gradients of a normalised linear layer chain into its derivative", arguments: [false, true])
    func chain(isInt8: Bool) throws {
        let n = 20, k = 11
        let values = Array(randomFloats[700..<700 + n * k])
        let packed = try #require(Kernels.packInt8(values, channels: n, depth: k))
        let floats = try #require(Kernels.packFloat32(values, channels: n, depth: k))
        let matrix: PackedMatrix =
            isInt8
            ? .int8(packed.matrix(channels: n, depth: k))
            : .float32(
                PackedFloat32Matrix(
                    channels: n, depth: k,
                    values: ConstantTensor(floats, shape: PackedLayout.float32Shape(channels: n, depth: k))))
        let weights = Kernels.unpack(matrix).map { Double($0) }
        let gamma = Array(randomFloats[300..<300 + n]), g = Array(randomFloats[100..<100 + n])
        let x = Array(randomFloats[900..<900 + k]).map { Double($0) }
        func hidden(_ x: [Double]) -> [Double] {
            (0..<n).map { row in (0..<k).reduce(0) { $0 + weights[row * k + $1] * x[$1] } }
        }
        let epsilon = 1e-2
        func loss(_ x: [Double]) -> Double {
            let h = hidden(x), mean = h.reduce(0, +) / Double(n)
            let r = 1 / (h.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n) + epsilon).squareRoot()
            return (0..<n).reduce(0) { $0 + Double(g[$1]) * (h[$1] - mean) * r * Double(gamma[$1]) }
        }
        let forward = hidden(x).map { Float($0) }
        for isa in testedISAs {
            let kernels = try Kernels(isa: isa, threads: 2), arena = Arena(capacity: 1 << 16)
            let h = arena.reserve(Shape(1, n)), y = arena.reserve(Shape(1, n)), normalized = arena.reserve(Shape(1, n))
            let r = arena.reserve(Shape(1)), gradient = arena.reserve(Shape(1, n)), found = arena.reserve(Shape(1, k))
            arena.write(forward.span, to: h)
            arena.write(g.span, to: gradient)
            kernels.layerNorm(
                h, weight: ConstantTensor(gamma, shape: Shape(n)),
                bias: ConstantTensor([Float](repeating: 0, count: n), shape: Shape(n)), epsilon: Float(epsilon), to: y,
                normalized: normalized, reciprocals: r, in: arena)
            kernels.layerNormBackward(
                gradient, normalized: normalized, reciprocals: r, weight: ConstantTensor(gamma, shape: Shape(n)),
                to: gradient, in: arena)
            kernels.linearBackward(gradient, matrix, to: found, in: arena)
            let once = arena.read(found, as: Float.self)
            kernels.linearBackward(gradient, matrix, to: found, accumulate: true, in: arena)
            #expect(arena.read(found, as: Float.self) == once.map { 2 * $0 })
            let size = once.map { abs(Double($0)) }.max() ?? 0
            for i in 0..<k {
                #expect(abs(Double(once[i]) - derivative(x, i, loss)) <= 1e-4 * size, "input \(i) with \(isa)")
            }
        }
    }
}
