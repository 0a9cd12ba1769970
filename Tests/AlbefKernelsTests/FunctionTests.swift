import CAlbefKernels
import Foundation
import Testing

private let lanes = 1 << 12

/// Applies a function of the kernels to a block of numbers.
private func apply(_ function: alb_function, _ x: UnsafePointer<Float>, _ count: Int, _ setting: Setting, _ y: UnsafeMutablePointer<Float>) {
    var args = alb_map_args(function: function, m: 1, n: count, src: x, src_stride: count, dst: y, dst_stride: count)
    alb_map_f32(setting.isa, setting.threads, &args)
}

func value(_ function: alb_function, _ x: Float, _ setting: Setting) -> Float {
    var y: Float = 0
    withUnsafePointer(to: x) { apply(function, $0, 1, setting, &y) }
    return y
}

/// x Φ(x), without cancellation below 0.
func exactGELU(_ x: Double) -> Double { 0.5 * x * erfc(-x / 2.0.squareRoot()) }

/// The worst errors over bit patterns `first`, `first + step`, … below `end`: in units in the last place of float32, or absolute
/// for erf and GELU of int8 layers, none for GELU; and whether every instruction set gave the scalar bytes.
private func worst(_ function: alb_function, _ first: UInt32, _ end: UInt32, step: UInt32) -> (error: Double, equal: Bool) {
    let x = UnsafeMutablePointer<Float>.allocate(capacity: lanes)
    let y = UnsafeMutablePointer<Float>.allocate(capacity: lanes)
    let other = UnsafeMutablePointer<Float>.allocate(capacity: lanes)
    defer {
        x.deallocate()
        y.deallocate()
        other.deallocate()
    }
    let fastest = Setting(isa: alb_isa_best(), threads: 1)
    var error = 0.0, equal = true
    var next = UInt64(first)
    while next < UInt64(end) {
        var count = 0
        while count < lanes && next < UInt64(end) {
            x[count] = Float(bitPattern: UInt32(next))
            count += 1
            next += UInt64(step)
        }
        apply(function, x, count, fastest, y)
        // The scalar form calls the C library for each multiply-add; every 16th block is enough for the exhaustive run.
        if step > 1 || next / UInt64(lanes) % 16 == 0 {
            for isa in Setting.instructionSets {
                apply(function, x, count, Setting(isa: isa, threads: 1), other)
                if memcmp(y, other, count * 4) != 0 { equal = false }
            }
        }
        var i = function == ALB_FUNCTION_GELU ? count : 0
        while i < count {
            let input = Double(x[i]), found = Double(y[i])
            var e: Double
            if function == ALB_FUNCTION_ERF {
                e = abs(found - erf(input))
            } else if function == ALB_FUNCTION_GELU_INT8 {
                e = abs(found - exactGELU(input))
            } else {
                let exact = function == ALB_FUNCTION_EXP ? exp(input) : log(input)
                let size = abs(exact)
                // Exponent bits of a double give the unit in the last place of a float32 without a call.
                let unit = Double(bitPattern: (size.bitPattern >> 52) << 52) * 0x1p-23
                e = found == exact ? 0 : abs(found - exact) / unit
            }
            if !(e <= error) { error = e.isNaN ? .infinity : e }
            i += 1
        }
    }
    return (error, equal)
}

@Suite("exp, log, erf, GELU")
struct FunctionTests {
    static let exhaustive: UInt32 = slowTests ? 1 : 10_007

    // A range of bit patterns per case, so that the slow run uses every core.
    @Test("exp is within 2 ulp of exact where it is not 0", arguments: 0..<8)
    func exponential(part: UInt32) {
        let top = Float(88.72283).bitPattern, bottom = Float(87).bitPattern
        let up = worst(ALB_FUNCTION_EXP, top / 8 * part, top / 8 * (part + 1), step: Self.exhaustive)
        let sign: UInt32 = 0x8000_0000
        let down = worst(
            ALB_FUNCTION_EXP, sign + bottom / 8 * part, sign + bottom / 8 * (part + 1), step: Self.exhaustive)
        #expect(up.error <= 2 && down.error <= 2, "\(up.error), \(down.error) ulp")
        #expect(up.equal && down.equal)
    }

    @Test("log is within 2 ulp of exact for every positive number", arguments: 0..<8)
    func logarithm(part: UInt32) {
        let top = Float.infinity.bitPattern
        let result = worst(ALB_FUNCTION_LOG, max(1, top / 8 * part), top / 8 * (part + 1), step: Self.exhaustive)
        #expect(result.error <= 2, "\(result.error) ulp")
        #expect(result.equal)
    }

    @Test("erf is within 2e-7 of exact", arguments: 0..<8)
    func errorFunction(part: UInt32) {
        let top = Float.infinity.bitPattern
        for sign in [0, 0x8000_0000] as [UInt32] {
            let result = worst(ALB_FUNCTION_ERF, sign + top / 8 * part, sign + top / 8 * (part + 1), step: Self.exhaustive)
            #expect(result.error <= 2e-7, "\(result.error)")
            #expect(result.equal)
        }
    }

    // Some instruction sets have a sequence of operations of their own for it.
    @Test("GELU has the scalar bytes for every number", arguments: 0..<8)
    func gelu(part: UInt32) {
        let top = Float.infinity.bitPattern
        for sign in [0, 0x8000_0000] as [UInt32] {
            let result = worst(ALB_FUNCTION_GELU, sign + top / 8 * part, sign + top / 8 * (part + 1), step: Self.exhaustive)
            #expect(result.equal)
            // Where erf reaches its limit.
            let first = sign + Float(5.6).bitPattern, last = sign + Float(5.7).bitPattern
            let dense = worst(ALB_FUNCTION_GELU, first + part, last, step: 8)
            #expect(dense.equal)
        }
    }

    @Test("GELU of int8 layers is within 1.27e-4 of exact and has the scalar bytes for every number", arguments: 0..<8)
    func geluInt8(part: UInt32) {
        let top = Float.infinity.bitPattern
        for sign in [0, 0x8000_0000] as [UInt32] {
            func check(_ first: UInt32, _ end: UInt32, step: UInt32, within bound: Double) {
                let result = worst(ALB_FUNCTION_GELU_INT8, sign + first, sign + end, step: step)
                #expect(result.error <= bound, "\(result.error)")
                #expect(result.equal)
            }
            check(top / 8 * part, top / 8 * (part + 1), step: Self.exhaustive, within: 1.27e-4)
            // Where the error is the greatest and x begins.
            check(Float(3.9).bitPattern + part, Float(4.1).bitPattern, step: 8, within: 1.27e-4)
            let last = Float(3.75).bitPattern
            check(last / 8 * part, last / 8 * (part + 1), step: Self.exhaustive, within: 2.7e-5)
            // Where one quadratic takes over from the other.
            for i in 1...16 {
                let border = (Float(i) / 4).bitPattern
                check(border - 64 + part % 2, border + 64, step: 2, within: i < 15 ? 2.7e-5 : 1.27e-4)
            }
        }
    }

    @Test("GELU of int8 layers is x from 4 on and -0 from -4 down")
    func geluInt8Ends() {
        for bits in stride(from: Float(4).bitPattern, to: Float.infinity.bitPattern, by: 10_007) {
            let x = Float(bitPattern: bits)
            #expect(value(ALB_FUNCTION_GELU_INT8, x, Setting(isa: ALB_ISA_SCALAR, threads: 1)) == x)
            let below = value(ALB_FUNCTION_GELU_INT8, -x, Setting(isa: ALB_ISA_SCALAR, threads: 1))
            #expect(below.bitPattern == 0x8000_0000)
        }
    }

    @Test("every variant gives the scalar bytes over all lengths", arguments: [1, 7, 8, 9, 15, 16, 17, 33, 100])
    func variants(n: Int) {
        var random = TestRandom("functions \(n)")
        let m = 3
        let src = Guarded(random: &random, m * n, .atEnd)
        for i in 0..<src.count where i % 3 == 0 { src.start[i] *= 100 }
        for code in 0...ALB_FUNCTION_GELU_INT8.rawValue {
            func run(_ setting: Setting) -> Guarded<Float> {
                let dst = Guarded<Float>(m * n, .atEnd)
                var args = alb_map_args(
                    function: alb_function(rawValue: code), m: m, n: n, src: src.start, src_stride: n, dst: dst.start,
                    dst_stride: n)
                alb_map_f32(setting.isa, setting.threads, &args)
                return dst
            }
            let expected = run(Setting(isa: ALB_ISA_SCALAR, threads: 1))
            for setting in Setting.all {
                let found = run(setting)
                for i in 0..<expected.count {
                    let (a, b) = (found.start[i], expected.start[i])
                    #expect(a.bitPattern == b.bitPattern || a.isNaN && b.isNaN, "function \(code) of \(src.start[i]), \(setting)")
                }
            }
        }
    }

    @Test("the edges of each function", arguments: Setting.instructionSets.map { Setting(isa: $0, threads: 1) })
    func edges(setting: Setting) {
        func exp(_ x: Float) -> Float { value(ALB_FUNCTION_EXP, x, setting) }
        #expect(exp(0) == 1 && exp(-0.0) == 1)
        #expect(exp(-87) > 0 && exp(Float(-87).nextDown) == 0 && exp(-.infinity) == 0)
        #expect(exp(88.72283) < .infinity && exp(Float(88.72283).nextUp) == .infinity && exp(.infinity) == .infinity)
        #expect(exp(.nan).isNaN)
        func log(_ x: Float) -> Float { value(ALB_FUNCTION_LOG, x, setting) }
        #expect(log(1) == 0 && log(0) == -.infinity && log(-0.0) == -.infinity && log(.infinity) == .infinity)
        #expect(log(-1).isNaN && log(.nan).isNaN && log(-.leastNonzeroMagnitude).isNaN)
        func erf(_ x: Float) -> Float { value(ALB_FUNCTION_ERF, x, setting) }
        #expect(erf(0).bitPattern == 0 && erf(-0.0).bitPattern == 0x8000_0000)
        #expect(erf(4) == 1 && erf(-4) == -1 && erf(.infinity) == 1 && erf(-.infinity) == -1 && erf(.nan).isNaN)
        func gelu(_ x: Float) -> Float { value(ALB_FUNCTION_GELU, x, setting) }
        #expect(gelu(0) == 0 && gelu(10) == 10 && gelu(-10) == 0 && abs(gelu(1) - 0.841_344_75) < 1e-6 && gelu(.nan).isNaN)
        func geluInt8(_ x: Float) -> Float { value(ALB_FUNCTION_GELU_INT8, x, setting) }
        #expect(geluInt8(0).bitPattern == 0 && geluInt8(-0.0).bitPattern == 0x8000_0000)
        #expect(geluInt8(4) == 4 && geluInt8(Float(4).nextDown) == Float(4).nextDown && geluInt8(.infinity) == .infinity)
        #expect(geluInt8(-4).bitPattern == 0x8000_0000 && abs(geluInt8(1) - 0.841_344_75) < 1e-5)
        #expect(geluInt8(.nan).isNaN && geluInt8(-.infinity).isNaN)
        func relu(_ x: Float) -> Float { value(ALB_FUNCTION_RELU, x, setting) }
        #expect(relu(-1) == 0 && relu(2) == 2 && relu(.nan).isNaN)
    }
}
