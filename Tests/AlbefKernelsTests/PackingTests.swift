import AlbefKernels
import AlbefTensor
import CAlbefKernels
import Testing

@Suite("Packing of weights")
struct PackingTests {
    @Test("int8 weights written by hand, in their places")
    func int8ByHand() throws {
        // Channel 0: absmax 127, so q is the weight rounded, ties to even. Channel 1: absmax 2.
        let packed = try #require(Kernels.packInt8([127, -127, 0.5, 1.5, -2.5, 2, -1, 0, 1, -2], channels: 2, depth: 5))
        #expect(packed.values.count == 16 * 8 && packed.scales.count == 16 && packed.columnSums.count == 16)
        #expect(packed.values[0..<8] == [127, -127, 0, 2, 127, -64, 0, 64])
        #expect(packed.values[64..<72] == [-2, 0, 0, 0, -127, 0, 0, 0])
        let rest = packed.values.enumerated().filter { !(0..<8).contains($0.offset) && !(64..<72).contains($0.offset) }
        #expect(rest.allSatisfy { $0.element == 0 })
        #expect(packed.scales[0...1] == [1, Float(2) / 127] && packed.scales[2...].allSatisfy { $0 == 0 })
        #expect(packed.columnSums[0...1] == [0, 0] && packed.columnSums[2...].allSatisfy { $0 == 0 })
        #expect(packed.absoluteMaximumRange == 2...127)
    }

    @Test("a channel of zeros has scale 0, and every q stays within ±127")
    func zerosAndRange() throws {
        var weights = [Float](repeating: 0, count: 3 * 6)
        for i in 6..<12 { weights[i] = i % 2 == 0 ? -3.0e38 : 3.0e38 }
        for i in 12..<18 { weights[i] = i % 2 == 0 ? -0x1p-133 : 0x1p-137 }  // denormal: 127 / absmax overflows
        let packed = try #require(Kernels.packInt8(weights, channels: 3, depth: 6))
        #expect(packed.scales[0] == 0 && packed.columnSums[0] == 0)
        #expect(packed.values.allSatisfy { $0 >= -127 })
        #expect(packed.values[4..<8] == [-127, 127, -127, 127])
    }

    @Test("weights that are not finite are refused", arguments: [Float.infinity, -.infinity, .nan])
    func nonFinite(bad: Float) {
        var weights = [Float](repeating: 1, count: 20)
        weights[13] = bad
        #expect(Kernels.packInt8(weights, channels: 4, depth: 5) == nil)
        #expect(Kernels.packFloat32(weights, channels: 4, depth: 5) == nil)
    }

    @Test("unpacking gives the weights back", arguments: [(1, 1), (2, 5), (16, 4), (17, 33), (40, 7)])
    func roundTrip(channels: Int, depth: Int) throws {
        let weights = Array(randomFloats[0..<channels * depth])
        let exact = try #require(Kernels.packFloat32(weights, channels: channels, depth: depth))
        let matrix = PackedFloat32Matrix(
            channels: channels, depth: depth,
            values: ConstantTensor(exact, shape: PackedLayout.float32Shape(channels: channels, depth: depth)))
        #expect(Kernels.unpack(.float32(matrix)) == weights)

        let packed = try #require(Kernels.packInt8(weights, channels: channels, depth: depth))
        let restored = Kernels.unpack(.int8(packed.matrix(channels: channels, depth: depth)))
        var square = 0.0
        for n in 0..<channels {
            for k in 0..<depth {
                let error = abs(restored[n * depth + k] - weights[n * depth + k])
                square += Double(error) * Double(error)
                #expect(error <= packed.scales[n] * 0.5001)
            }
        }
        #expect(abs(packed.rootMeanSquareError - (square / Double(weights.count)).squareRoot()) <= 1e-3 * packed.rootMeanSquareError + 1e-9)
    }

    @Test("threads do not change what is packed", arguments: [2, 3, 8])
    func threads(count: Int) throws {
        let weights = Array(randomFloats[0..<70 * 33])
        let one = try #require(Kernels.packInt8(weights, channels: 70, depth: 33))
        let many = try #require(Kernels.packInt8(weights, channels: 70, depth: 33, threads: count))
        #expect(one.values == many.values && one.scales == many.scales && one.columnSums == many.columnSums)
        let exact = Kernels.packFloat32(weights, channels: 70, depth: 33)
        #expect(exact == Kernels.packFloat32(weights, channels: 70, depth: 33, threads: count))
    }
}

@Suite("Comparison")
struct ComparisonTests {
    @Test("one changed value among many is seen")
    func oneChange() {
        let a = Array(randomFloats[0..<1000])
        var b = a
        #expect(Kernels.compare(a, b).maximumAbsoluteDifference == 0)
        #expect(abs(Kernels.compare(a, b).cosine - 1) < 1e-12)
        b[500] += 1
        let changed = Kernels.compare(a, b)
        #expect(abs(changed.maximumAbsoluteDifference - 1) < 1e-6 && changed.cosine < 1 - 1e-6 && changed.pearson < 1 - 1e-6)
    }

    @Test("values written by hand")
    func byHand() {
        let result = Kernels.compare([1, 0, 1], [1, 1, 0])
        #expect(result.maximumAbsoluteDifference == 1 && result.maximumAbsolute == 1)
        #expect(abs(result.cosine - 0.5) < 1e-12 && abs(result.pearson + 0.5) < 1e-12)
        let opposite = Kernels.compare([1, -2], [-1, 2])
        #expect(abs(opposite.cosine + 1) < 1e-12 && abs(opposite.pearson + 1) < 1e-12)
    }

    @Test("zeros, constants and nothing at all")
    func degenerate() {
        let zeros = Kernels.compare([0, 0], [0, 0])
        #expect(zeros.cosine == 1 && zeros.pearson == 1)
        #expect(Kernels.compare([0, 0], [1, 2]).cosine == 0)
        #expect(Kernels.compare([3, 3], [1, 2]).pearson == 0)
        #expect(Kernels.compare([], []).maximumAbsoluteDifference == 0)
    }

    @Test("a NaN is never taken for agreement", arguments: [Float.nan, .infinity])
    func nonFinite(bad: Float) {
        let result = Kernels.compare([1, bad, 2], [1, bad, 2])
        #expect(result.maximumAbsoluteDifference.isNaN && result.cosine.isNaN && result.pearson.isNaN)
    }

    @Test("two buffers that differ in one byte are told apart")
    func bytes() {
        let a = Guarded([Float](repeating: 1, count: 100), .atEnd), b = Guarded(a.array, .atStart)
        #expect(a.firstDifference(from: b) == nil)
        b.start[99] = Float(1).nextUp
        #expect(a.firstDifference(from: b) == 99)
        (a.start[7], b.start[7]) = (0, -0.0)
        #expect(a.firstDifference(from: b) == 7)
    }
}
