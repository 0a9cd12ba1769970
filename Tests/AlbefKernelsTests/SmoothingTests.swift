import AlbefKernels
import AlbefTensor
import AlbefTestSupport
import Foundation
import Testing

@Suite("Smoothing of inputs")
struct SmoothingTests {
    @Test("column maxima are those of all rows, gaps between rows left out", arguments: [1, 2, 15, 16, 17, 64])
    func maxima(columns: Int) throws {
        var numbers = RandomNumbers(seed: UInt64(columns))
        let arena = Arena(capacity: 1 << 20)
        let wide = arena.reserve(Shape(7, columns + 3))
        let values = numbers.array(7 * (columns + 3))
        arena.write(values.span, to: wide)
        var greatest = [Float](repeating: 0.5, count: columns)
        Kernels.raise(&greatest, toColumnsOf: wide.columns(2..<2 + columns), in: arena)
        for column in 0..<columns {
            let own = (0..<7).map { abs(values[$0 * (columns + 3) + 2 + column]) }.max() ?? 0
            #expect(greatest[column] == max(own, 0.5))
        }
        var plain = [Float](repeating: 0, count: columns + 3)
        Kernels.raise(&plain, toColumnsOf: values)
        for column in 0..<columns { #expect(max(plain[2 + column], 0.5) == greatest[column]) }
    }

    @Test("the scale is the rounded power of two of SmoothQuant's formula", arguments: [Float(0), 0.25, 0.5, 0.75, 1])
    func exponents(share: Float) {
        var numbers = RandomNumbers(seed: 3)
        let inputs = (0..<400).map { _ in Float(exp2(Double(numbers.next() * 20))) }
        let weights = (0..<400).map { _ in Float(exp2(Double(numbers.next() * 10))) }
        let exponents = Kernels.smoothingExponents(inputs: inputs, weights: weights, share: share)
        for index in inputs.indices {
            let exact = Double(share) * log2(Double(inputs[index])) - Double(1 - share) * log2(Double(weights[index]))
            #expect(abs(Double(exponents[index]) - exact) <= 0.5001)
        }
    }

    @Test("a column of zeros keeps its scale, and no scale leaves the range")
    func edges() {
        #expect(
            Kernels.smoothingExponents(inputs: [0, 1, 0x1p100, 0x1p-100], weights: [1, 0, 1, 1], share: 1) == [0, 0, 24, -24])
    }

    @Test("scaling columns and back gives the same bits", arguments: [(1, 1), (3, 5), (16, 17), (5, 64)])
    func exactness(rows: Int, columns: Int) {
        var numbers = RandomNumbers(seed: UInt64(rows * 100 + columns))
        let values = numbers.array(rows * columns)
        let exponents = (0..<columns).map { Int32($0 % 49 - 24) }
        var scaled = values
        Kernels.scaleColumns(&scaled, by: exponents)
        for index in values.indices {
            #expect(Double(scaled[index]) == Double(values[index]) * exp2(Double(exponents[index % columns])))
        }
        Kernels.scaleColumns(&scaled, by: exponents.map { -$0 })
        #expect(scaled == values)
    }

    @Test("rows are divided from the first one on, the others stay")
    func rows() {
        var values: [Float] = [1, 2, 3, 4, 5, 6, 7, 8]
        Kernels.unscaleRows(&values, width: 2, from: 1, by: [1, -1])
        #expect(values == [1, 2, 1.5, 2, 10, 12, 7, 8])
        Kernels.unscaleRows(&values, width: 1, from: 7, by: [3])
        #expect(values == [1, 2, 1.5, 2, 10, 12, 7, 1])
    }
}
