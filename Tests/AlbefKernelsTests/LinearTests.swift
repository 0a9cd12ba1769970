import CAlbefKernels
import Foundation
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)

/// GELU of int8 layers, whose error FunctionTests bounds.
private func int8GELU(_ x: Double) -> Double { Double(value(ALB_FUNCTION_GELU_INT8, Float(x), reference)) }

@Suite("Linear layers")
struct LinearTests {
    @Test("every int8 variant and thread count gives the scalar bytes", arguments: LinearShapes.depths)
    func int8Variants(k: Int) {
        var random = TestRandom("int8 variants \(k)")
        var index = 0
        for m in LinearShapes.rows {
            for n in LinearShapes.channels {
                let placement = Guarded<Float>.Placement.allCases[index / 2 % 2]
                let layer = Int8Case(m, n, k, index: index, placement: placement, random: &random)
                index += 1
                let expected = layer.run(reference)
                for setting in Setting.all {
                    let difference = layer.run(setting).firstDifference(from: expected)
                    #expect(difference == nil, "\(m)x\(n)x\(k), \(setting), seed \(random.seed)")
                }
            }
        }
    }

    @Test("every float variant and thread count gives the scalar bytes", arguments: LinearShapes.depths)
    func floatVariants(k: Int) {
        var random = TestRandom("float variants \(k)")
        var index = 0
        for m in LinearShapes.rows {
            for n in LinearShapes.channels {
                let placement = Guarded<Float>.Placement.allCases[index / 2 % 2]
                let layer = FloatCase(m, n, k, index: index, placement: placement, random: &random)
                index += 1
                let expected = layer.run(reference)
                for setting in Setting.all {
                    let difference = layer.run(setting).firstDifference(from: expected)
                    #expect(difference == nil, "\(m)x\(n)x\(k), \(setting), seed \(random.seed)")
                }
            }
        }
    }

    @Test("many bands of rows and panels of channels", arguments: [(577, 130, 100), (100, 520, 33), (61, 1000, 8)])
    func manyTiles(m: Int, n: Int, k: Int) {
        var random = TestRandom("many tiles \(m)")
        let integers = Int8Case(m, n, k, index: 7, placement: .atEnd, random: &random)
        let floats = FloatCase(m, n, k, index: 8, placement: .atEnd, random: &random)
        let expected = (integers.run(reference), floats.run(reference))
        for setting in Setting.all {
            #expect(integers.run(setting).firstDifference(from: expected.0) == nil, "\(setting)")
            #expect(floats.run(setting).firstDifference(from: expected.1) == nil, "\(setting)")
        }
    }

    @Test("the scalar int8 product is the product of the dequantised factors", arguments: [1, 4, 5, 63, 130])
    func int8Reference(k: Int) {
        var random = TestRandom("int8 reference \(k)")
        for (index, (m, n)) in [(1, 1), (2, 17), (3, 33), (7, 16), (5, 15)].enumerated() {
            let layer = Int8Case(m, n, k, index: index, placement: .atEnd, random: &random)
            let result = layer.run(reference)
            for row in 0..<m {
                for channel in 0..<n {
                    var sum = 0
                    for i in 0..<k {
                        let weight = layer.rhs.start[((channel / 16 * layer.padded + i / 4 * 4) * 16) + channel % 16 * 4 + i % 4]
                        sum += (Int(layer.lhs.start[row * layer.padded + i]) - Int(layer.lhsZeros.start[row])) * Int(weight)
                    }
                    var y = Double(sum) * Double(layer.lhsScales.start[row]) * Double(layer.rhsScales.start[channel])
                    y += layer.epilogue.bias.map { Double($0.start[channel]) } ?? 0
                    let expected = layer.epilogue.finish(y, gelu: int8GELU, row: row, channel: channel)
                    let found = Double(result.start[row * layer.stride + channel])
                    #expect(
                        abs(found - expected) <= 1e-6 * max(1, abs(expected), abs(y)),
                        "(\(row), \(channel)) of \(m)x\(n)x\(k)")
                }
            }
        }
    }

    @Test("an int8 layer is close to the float layer", arguments: [64, 768])
    func int8Accuracy(k: Int) {
        var random = TestRandom("int8 accuracy \(k)")
        let m = 4, n = 32
        let layer = Int8Case(m, n, k, index: 15, placement: .atEnd, random: &random)  // no activation, no residual
        let result = layer.run(reference)
        var error = 0.0, size = 0.0
        for row in 0..<m {
            for channel in 0..<n {
                var expected = Double(layer.epilogue.bias?.start[channel] ?? 0)
                for i in 0..<k {
                    expected +=
                        Double(layer.activations.start[row * k + i]) * Double(layer.weights.start[channel * k + i])
                }
                error += pow(Double(result.start[row * layer.stride + channel]) - expected, 2)
                size += expected * expected
            }
        }
        #expect((error / size).squareRoot() < 0.02)
    }

    @Test("the scalar float product is the product in double precision, rounded", arguments: [1, 4, 5, 63, 130])
    func floatReference(k: Int) {
        var random = TestRandom("float reference \(k)")
        for (index, (m, n)) in [(1, 1), (2, 17), (3, 33), (7, 16), (5, 15)].enumerated() {
            let layer = FloatCase(m, n, k, index: index, placement: .atEnd, random: &random)
            let result = layer.run(reference)
            for row in 0..<m {
                for channel in 0..<n {
                    var y = 0.0, size = 0.0
                    for i in 0..<k {
                        let term = Double(layer.lhs.start[row * layer.lhsStride + i]) * Double(layer.weights.start[channel * k + i])
                        y += term
                        size += abs(term)
                    }
                    y += layer.epilogue.bias.map { Double($0.start[channel]) } ?? 0
                    let expected = layer.epilogue.finish(y, gelu: exactGELU, row: row, channel: channel)
                    let found = Double(result.start[row * layer.stride + channel])
                    #expect(
                        abs(found - expected) <= 1e-6 * max(1, size, abs(expected)), "(\(row), \(channel)) of \(m)x\(n)x\(k)")
                }
            }
        }
    }

    @Test("no variant saturates at 255 · 127, up to the greatest depth", arguments: [4, 768, 3072, 32768])
    func saturation(k: Int) {
        for (value, zero, weight) in [(255, 0, 127), (255, 0, -127), (0, 255, 127), (255, 128, -127)] {
            let m = 7, n = 33
            let lhs = Guarded([UInt8](repeating: UInt8(value), count: m * k), .atEnd)
            let rhs = Guarded([Int8](repeating: Int8(weight), count: paddedChannels(n) * k), .atEnd)
            let scales = Guarded([Float](repeating: 1, count: paddedChannels(n)), .atEnd)
            let zeros = Guarded([Int32](repeating: Int32(zero), count: m), .atEnd)
            let sums = Guarded([Int32](repeating: Int32(weight * k), count: paddedChannels(n)), .atEnd)
            let expected = Float((value - zero) * weight * k)
            for setting in Setting.all {
                let dst = Guarded<Float>(m * n, .atEnd)
                var args = alb_matmul_int8_args(
                    m: m, n: n, k: k, lhs: lhs.start, lhs_scales: scales.start, lhs_zero_points: zeros.start,
                    rhs: rhs.start, rhs_scales: scales.start, rhs_sums: sums.start, epilogue: alb_epilogue(),
                    dst: dst.start, dst_stride: n)
                alb_matmul_f32_qu8d_qs8c(setting.isa, setting.threads, &args)
                #expect(dst.array.allSatisfy { $0 == expected }, "\(setting)")
            }
        }
    }

    /// What a variant may multiply two and two: pairs that just fit into 16 bits with activations of 255, and that just do not.
    @Test(
        "pairs of weights beside what 16 bits hold give exact sums",
        arguments: [
            [(64, 64), (1, 127), (-1, -127), (-64, -64), (127, -127)], [(65, 64), (2, 127), (127, 127)],
            [(-65, -64), (-127, -2), (-127, -127)],
        ], [16, 97])
    func limits(pairs: [(Int, Int)], m: Int) {
        let n = 48, k = 1028
        let lhs = Guarded([UInt8](repeating: 255, count: m * k), .atEnd)
        let rhs = Guarded<Int8>(n * k, .atEnd)
        var expected = [Int](repeating: 0, count: n)
        for channel in 0..<n {
            for pair in 0..<k / 2 {
                // All pairs of the first block; in the second two of a group's 32, as many as are worth taking apart; in the
                // third one more than that.
                let among = channel % 16 * 2 + pair % 2
                let chosen = channel < 16 || among < (channel < 32 ? 2 : 3)
                let weights = chosen ? pairs[pair / 2 % pairs.count] : (3, -2)
                let at = channel / 16 * k * 16 + pair / 2 * 64 + channel % 16 * 4 + pair % 2 * 2
                rhs.start[at] = Int8(weights.0)
                rhs.start[at + 1] = Int8(weights.1)
                expected[channel] += weights.0 + weights.1
            }
        }
        let scales = Guarded([Float](repeating: 1, count: max(m, n)), .atEnd)
        let zeros = Guarded([Int32](repeating: 0, count: m), .atEnd), sums = Guarded(expected.map { Int32($0) }, .atEnd)
        for setting in Setting.all {
            let dst = Guarded<Float>(m * n, .atEnd)
            var args = alb_matmul_int8_args(
                m: m, n: n, k: k, lhs: lhs.start, lhs_scales: scales.start, lhs_zero_points: zeros.start, rhs: rhs.start,
                rhs_scales: scales.start, rhs_sums: sums.start, epilogue: alb_epilogue(), dst: dst.start, dst_stride: n)
            alb_matmul_f32_qu8d_qs8c(setting.isa, setting.threads, &args)
            for row in 0..<m {
                #expect((0..<n).allSatisfy { dst.start[row * n + $0] == Float(255 * expected[$0]) }, "row \(row), \(setting)")
            }
        }
    }

    @Test("rows and channels of zeros give the bias alone")
    func zeros() {
        var random = TestRandom("zeros")
        let m = 5, n = 20, k = 70
        for setting in Setting.all {
            let layer = Int8Case(m, n, k, index: 30, placement: .atEnd, random: &random) { activations, weights in
                for i in 0..<k { activations.start[2 * k + i] = 0 }
                for i in 0..<k { weights.start[17 * k + i] = 0 }
            }
            #expect(layer.lhsScales.start[2] == 0 && layer.lhsZeros.start[2] == 0 && layer.rhsScales.start[17] == 0)
            let result = layer.run(setting)
            for channel in 0..<n {
                #expect(result.start[2 * layer.stride + channel] == layer.epilogue.bias?.start[channel])
            }
            for row in 0..<m { #expect(result.start[row * layer.stride + 17] == layer.epilogue.bias?.start[17]) }
        }
    }

    @Test("the residual may be the destination")
    func residualInPlace() {
        var random = TestRandom("residual in place")
        let m = 13, n = 70, k = 65
        let layer = FloatCase(m, n, k, index: 24, placement: .atEnd, random: &random)  // residual, dense result
        for setting in Setting.all {
            let apart = layer.run(setting)
            let dst = Guarded<Float>(m * n, .atEnd)
            for row in 0..<m {
                for channel in 0..<n {
                    dst.start[row * n + channel] = layer.epilogue.residual!.start[row * layer.epilogue.residualStride + channel]
                }
            }
            var epilogue = layer.epilogue.code
            epilogue.residual = UnsafePointer(dst.start)
            epilogue.residual_stride = n
            var args = alb_matmul_f32_args(
                m: m, n: n, k: k, lhs: layer.lhs.start, lhs_stride: layer.lhsStride, rhs: layer.rhs.start,
                epilogue: epilogue, dst: dst.start, dst_stride: n)
            alb_matmul_f32_f32_f32(setting.isa, setting.threads, &args)
            #expect(dst.firstDifference(from: apart) == nil, "\(setting)")
        }
    }
}
