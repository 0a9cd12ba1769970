import AlbefKernels
import AlbefTensor
import CAlbefKernels
import Foundation
import Testing

@Suite("Kernels")
struct KernelsTests {
    @Test("an unknown or unsupported instruction set is refused with the list of those that run")
    func unknownISA() throws {
        for name in ["sse9", "", "AVX2"] + ISA.allCases.filter({ !$0.isSupported }).map(\.rawValue) {
            #expect(throws: KernelError.unsupportedISA(name)) { try ISA.named(name) }
        }
        for isa in ISA.supported { #expect(try ISA.named(isa.rawValue) == isa) }
        let text = KernelError.unsupportedISA("sse9").description
        #expect(text.contains("'sse9'") && ISA.supported.allSatisfy { text.contains($0.rawValue) })
        #expect(!text.contains("\n"))
    }

    @Test("every operation reports a variant at or below the ceiling", arguments: testedISAs)
    func variants(isa: ISA) throws {
        let report = try Kernels(isa: isa, threads: 1).variants()
        #expect(report.count > 5 && Set(report.map(\.operation)).count == report.count)
        for line in report {
            #expect(!line.operation.contains("__"))
            #expect(try ISA.named(line.variant).isSupported)
            if isa == .scalar { #expect(line.variant == "scalar") }
        }
        #expect(report.first { $0.operation == "matmul_f32_qu8d_qs8c" }?.variant == isa.rawValue)
    }

    /// Some steps of a layer, on views with gaps, for either kind of arena.
    private func layer(_ kernels: Kernels, _ arena: Arena, _ weight: PackedMatrix, _ norm: ConstantTensor) -> TensorView {
        let rows = 9, depth = weight.depth, channels = weight.channels
        let wide = arena.reserve(Shape(rows, 3 * depth))
        let values = Array(randomFloats[0..<rows * 3 * depth])
        arena.write(values.span, to: wide)
        let x = wide.columns(depth..<2 * depth)
        let y = arena.reserve(Shape(rows, channels))
        let normalized = arena.reserve(Shape(rows, depth))
        kernels.layerNorm(x, weight: norm, bias: norm, epsilon: 1e-12, to: normalized, in: arena)
        arena.scoped {
            let hidden = arena.reserve(Shape(rows, channels))
            kernels.linear(normalized, weight, bias: nil, activation: .gelu, to: hidden, in: arena)
            kernels.linear(x, weight, bias: nil, residual: hidden, to: y, in: arena)
        }
        kernels.softmax(y, to: y, in: arena)
        #expect(kernels.allFinite(y, in: arena))
        return y
    }

    @Test("planning reserves what the computation reserves, and all settings give the same bytes")
    func planning() throws {
        let channels = 21, depth = 30
        let weights = Array(randomFloats[0..<channels * depth])
        let norm = ConstantTensor(Array(randomFloats[0..<depth]), shape: Shape(depth))
        let packed = try #require(Kernels.packInt8(weights, channels: channels, depth: depth))
        let exact = try #require(Kernels.packFloat32(weights, channels: channels, depth: depth))
        let shape = PackedLayout.float32Shape(channels: channels, depth: depth)
        for matrix in [
            PackedMatrix.int8(packed.matrix(channels: channels, depth: depth)),
            .float32(PackedFloat32Matrix(channels: channels, depth: depth, values: ConstantTensor(exact, shape: shape))),
        ] {
            var expected: [Float]?
            for isa in testedISAs {
                for threads in [1, 2, 3, 8] {
                    let kernels = try Kernels(isa: isa, threads: threads)
                    let plan = Arena.planning()
                    _ = layer(kernels, plan, matrix, norm)
                    let arena = Arena(capacity: plan.peak)
                    let found = arena.read(layer(kernels, arena, matrix, norm), as: Float.self)
                    #expect(arena.peak == plan.peak)
                    if let expected { #expect(found.map(\.bitPattern) == expected.map(\.bitPattern)) }
                    expected = found
                }
            }
        }
    }

    @Test("denormals are honoured and the caller's flush-to-zero setting survives", arguments: Setting.all)
    func denormals(setting: Setting) {
        let m = 40, n = 64, k = 64
        let lhs = Guarded([Float](repeating: 0x1p-70, count: m * k), .atEnd)
        let rhs = Guarded([Float](repeating: 0x1p-70, count: n * k), .atEnd)
        let dst = Guarded<Float>(m * n, .atEnd)
        #if arch(x86_64)
        var plain = fenv_t(), flushing = fenv_t()
        fegetenv(&plain)
        flushing = plain
        flushing.__mxcsr |= 0x8040  // flush to zero, denormals are zero
        fesetenv(&flushing)
        defer { fesetenv(&plain) }
        #endif
        var args = alb_matmul_f32_args(
            m: m, n: n, k: k, lhs: lhs.start, lhs_stride: k, rhs: rhs.start, epilogue: alb_epilogue(), dst: dst.start,
            dst_stride: n)
        alb_matmul_f32_f32_f32(setting.isa, setting.threads, &args)
        #if arch(x86_64)
        var after = fenv_t()
        fegetenv(&after)
        fesetenv(&plain)
        #expect(after.__mxcsr & 0x8040 == 0x8040)
        #endif
        #expect(dst.array.allSatisfy { $0 == 0x1p-134 })
    }

    @Test("the measured peak is a speed")
    func peak() throws {
        let peak = try Kernels(threads: 1).measurePeak()
        #expect(peak.int8GMACs > 0.1 && peak.float32GMACs > 0.01)
        #expect(try Kernels(threads: 2).measureReadBandwidth(byteCount: 1 << 20) > 0.01)
    }

    @Test("three layers at once give the bytes of each alone", arguments: testedISAs)
    func together(isa: ISA) throws {
        for (rows, width) in [(1, 1), (7, 130), (30, 64), (13, 200)] { try together(isa, rows, width) }
    }

    private func together(_ isa: ISA, _ rows: Int, _ width: Int) throws {
        let depth = 66
        let layers = try (1...3).map { place in
            let weights = Array(randomFloats[place * 900..<place * 900 + width * depth])
            let bias = ConstantTensor(Array(randomFloats[77..<77 + width]), shape: Shape(width))
            return (try #require(Kernels.packInt8(weights, channels: width, depth: depth)), bias)
        }
        for threads in [1, 2, 3, 8] {
            let kernels = try Kernels(isa: isa, threads: threads), arena = Arena(capacity: 1 << 20)
            let x = arena.reserve(Shape(rows, depth))
            arena.write(Array(randomFloats[5..<5 + rows * depth]).span, to: x)
            let quantized = kernels.quantizeRows(x, in: arena)
            let alone = layers.map { _ in arena.reserve(Shape(rows, width)) }
            let found = layers.map { _ in arena.reserve(Shape(rows, width)) }
            let projections = layers.indices.map { index in
                let (packed, bias) = layers[index], matrix = packed.matrix(channels: width, depth: depth)
                kernels.linear(quantized, matrix, bias: bias, to: alone[index], in: arena)
                return Kernels.Projection(matrix, bias: bias, to: found[index])
            }
            kernels.linear(quantized, projections[0], projections[1], projections[2], in: arena)
            for index in layers.indices {
                #expect(
                    arena.read(found[index], as: Float.self) == arena.read(alone[index], as: Float.self),
                    "layer \(index) of \(rows) rows and \(width) channels, \(threads) threads")
            }
        }
    }
}
