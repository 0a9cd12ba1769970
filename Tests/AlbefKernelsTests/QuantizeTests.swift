import CAlbefKernels
import Testing

@Suite("Quantisation of rows")
struct QuantizeTests {
    struct Result {
        let values: Guarded<UInt8>, scales: Guarded<Float>, zeros: Guarded<Int32>
    }

    func quantize(_ src: Guarded<Float>, rows: Int, columns: Int, stride: Int, _ setting: Setting) -> Result {
        let padded = paddedDepth(columns)
        let result = Result(
            values: Guarded(rows * padded, .atEnd), scales: Guarded(rows, .atEnd), zeros: Guarded(rows, .atEnd))
        result.values.fill(byte: 0xa5)
        var args = alb_quantize_args(
            m: rows, k: columns, src: src.start, src_stride: stride, dst: result.values.start, dst_stride: padded,
            scales: result.scales.start, zero_points: result.zeros.start)
        alb_quantize_qu8d_f32(setting.isa, setting.threads, &args)
        return result
    }

    func quantize(_ row: [Float], _ setting: Setting) -> (values: [UInt8], scale: Float, zero: Int32) {
        let result = quantize(Guarded(row, .atEnd), rows: 1, columns: row.count, stride: row.count, setting)
        return (result.values.array, result.scales.start[0], result.zeros.start[0])
    }

    @Test("values written by hand", arguments: Setting.all)
    func byHand(setting: Setting) {
        // lo -1, hi 2: inverse 85, zero point 85
        let plain = quantize([-1, 0, 1, 2], setting)
        #expect(plain.values == [0, 85, 170, 255] && plain.scale == Float(3) / 255 && plain.zero == 85)
        // Range 255, so inverse 1: ties go to the even neighbour. Padding is 0.
        let ties = quantize([0, 255, 0.5, 1.5, 2.5, 254.5], setting)
        #expect(ties.values == [0, 255, 0, 2, 2, 254, 0, 0] && ties.scale == 1 && ties.zero == 0)
        // The zero point is rounded too: lo -0.5 gives rne(0.5) = 0, and -0.5 itself rounds to 0.
        let half = quantize([-0.5, 254.5, 1], setting)
        #expect(half.values == [0, 254, 1, 0] && half.zero == 0)
        // A row of positive or of negative numbers still holds 0.
        #expect(quantize([2, 4], setting).values == [128, 255, 0, 0])
        let negative = quantize([-4, -2], setting)
        #expect(negative.values == [0, 127, 0, 0] && negative.zero == 255)
    }

    @Test("a row whose range is below 2^-100 is all zero", arguments: Setting.all)
    func tinyRange(setting: Setting) {
        for row in [[0, 0, 0], [0x1p-101, -0x1p-102, 0], [0x1p-133, 0x1p-149, -0x1p-146]] as [[Float]] {
            let result = quantize(row, setting)
            #expect(result.values == [0, 0, 0, 0] && result.scale == 0 && result.zero == 0)
        }
        let smallest = quantize([0, 0x1p-100], setting)
        #expect(smallest.values == [0, 255, 0, 0] && smallest.scale == 0x1p-100 / 255)
    }

    @Test("every variant and thread count gives the scalar bytes, and 0 in the padding", arguments: [
        1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 768, 3072,
    ])
    func variants(columns: Int) {
        var random = TestRandom("quantize variants \(columns)")
        for (index, rows) in [1, 2, 5, 17, 30].enumerated() {
            let stride = columns + index % 2
            let placement = Guarded<Float>.Placement.allCases[index % 2]
            let src = Guarded(random: &random, (rows - 1) * stride + columns, placement)
            if rows > 2 { for i in 0..<columns { src.start[2 * stride + i] = 0 } }
            if rows > 4 { for i in 0..<columns { src.start[4 * stride + i] *= 0x1p-130 } }
            let expected = quantize(
                src, rows: rows, columns: columns, stride: stride, Setting(isa: ALB_ISA_SCALAR, threads: 1))
            for setting in Setting.all {
                let found = quantize(src, rows: rows, columns: columns, stride: stride, setting)
                #expect(
                    found.values.firstDifference(from: expected.values) == nil
                        && found.scales.firstDifference(from: expected.scales) == nil
                        && found.zeros.firstDifference(from: expected.zeros) == nil,
                    "\(rows)x\(columns), \(setting), seed \(random.seed)")
            }
        }
    }

    @Test("infinities and NaNs give the same bytes everywhere", arguments: [3, 8, 19])
    func nonFinite(columns: Int) {
        for bad in [Float.infinity, -Float.infinity, Float.nan] {
            for place in 0..<columns {
                var row = (0..<columns).map { Float($0) - 2 }
                row[place] = bad
                let expected = quantize(row, Setting(isa: ALB_ISA_SCALAR, threads: 1))
                for setting in Setting.all {
                    let found = quantize(row, setting)
                    #expect(found.values == expected.values && found.zero == expected.zero, "\(setting), \(bad) at \(place)")
                    #expect(found.scale.bitPattern == expected.scale.bitPattern)
                }
            }
        }
    }

    @Test("a value and its quantised form differ by at most one step")
    func error() {
        var random = TestRandom("quantize error")
        let columns = 768
        let src = Guarded(random: &random, columns, .atEnd)
        let result = quantize(src.array, Setting(isa: ALB_ISA_SCALAR, threads: 1))
        for (x, q) in zip(src.array, result.values) {
            #expect(abs(x - Float(Int32(q) - result.zero) * result.scale) <= result.scale * 1.001)
        }
    }
}
