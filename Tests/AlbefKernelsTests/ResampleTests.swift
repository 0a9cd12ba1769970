import AlbefKernels
import CAlbefKernels
import Testing

private struct Resize: CustomStringConvertible, Sendable {
    let from: (width: Int, height: Int)
    let to: (width: Int, height: Int)
    var description: String { "\(from.width) x \(from.height) to \(to.width) x \(to.height)" }

    init(_ width: Int, _ height: Int, _ toWidth: Int, _ toHeight: Int) {
        from = (width, height)
        to = (toWidth, toHeight)
    }

    /// Widths around the steps of the row loops (4 and 16 pixels), each pass alone, both, none, and very wide or high.
    static let edges: [Resize] =
        [1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 31, 32, 33, 63, 65].flatMap { n in
            [Resize(n, 5, 9, 4), Resize(9, n, 9, 6), Resize(n, n, n + 1, n + 2), Resize(n, 3, n, 3)]
        } + [
            Resize(500, 3, 7, 3), Resize(3, 500, 3, 7), Resize(2, 500, 5, 7), Resize(700, 90, 31, 16), Resize(20, 30, 130, 90),
            Resize(1_100_000, 1, 33, 2),
        ]
}

private func resize(_ source: Guarded<UInt8>, _ shape: Resize, _ setting: Setting, _ placement: Guarded<UInt8>.Placement)
    -> Guarded<UInt8>
{
    let result = Guarded<UInt8>(shape.to.width * shape.to.height * 3, placement)
    let size = alb_resample_rgb_scratch(
        setting.threads, shape.from.width, shape.from.height, shape.to.width, shape.to.height)
    let scratch = Guarded<UInt8>((size + 63) / 64 * 64, placement)
    scratch.fill(byte: 0xA5)
    alb_resample_rgb(
        setting.isa, setting.threads, source.start, shape.from.width, shape.from.height, result.start, shape.to.width,
        shape.to.height, scratch.start)
    return result
}

@Suite("Resampling of pictures")
struct ResampleTests {
    @Test("every variant has the scalar bytes and touches nothing outside of its buffers")
    func variants() {
        var random = TestRandom("resample variants")
        for shape in Resize.edges {
            let count = shape.from.width * shape.from.height * 3
            // Noise, and black and white alone: the sums of these are the greatest and the least.
            for kind in 0..<2 {
                let pixels = (0..<count).map { _ in
                    let byte = UInt8(truncatingIfNeeded: random.next() >> 32)
                    return kind == 0 ? byte : byte < 128 ? 0 : 255
                }
                let source = Guarded(pixels, .atEnd)
                let reference = resize(source, shape, Setting(isa: ALB_ISA_SCALAR, threads: 1), .atEnd)
                for setting in Setting.all {
                    for placement in Guarded<UInt8>.Placement.allCases {
                        let found = resize(Guarded(pixels, placement), shape, setting, placement)
                        let difference = found.firstDifference(from: reference)
                        #expect(difference == nil, "\(shape), \(setting), seed \(random.seed): byte \(difference ?? -1)")
                    }
                }
            }
        }
    }

    @Test("a picture of one colour keeps it", arguments: [UInt8(0), 1, 127, 254, 255])
    func constant(value: UInt8) throws {
        for isa in testedISAs {
            let kernels = try Kernels(isa: isa, threads: 2)
            for shape in Resize.edges where shape.from.width < 1000 {
                let pixels = [UInt8](repeating: value, count: shape.from.width * shape.from.height * 3)
                let found = kernels.resizeRGB(pixels, width: shape.from.width, height: shape.from.height, to: shape.to)
                #expect(found.allSatisfy { $0 == value }, "\(isa), \(shape)")
            }
        }
    }

    @Test("the report names the variant that runs")
    func report() throws {
        for isa in testedISAs {
            let variants = try Kernels(isa: isa, threads: 1).variants()
            #expect(variants.contains { $0.operation == "resample_rgb" })
        }
    }
}
