import AlbefImage
import AlbefKernels
import Testing

@Suite("Resizing is Pillow's, bit for bit")
struct ResizeTests {
    private static func row(_ values: [UInt8]) -> [UInt8] { values.flatMap { [$0, $0, $0] } }

    /// One axis at a time; a second row or column of the same values must not matter.
    @Test(
        "one axis of the published vectors",
        arguments: [
            ([0, 10, 40, 90, 160, 250, 255, 200, 100, 5], [8, 115, 242, 90]),
            ([0, 10, 40, 90, 160, 250, 255, 200, 100, 5], [1, 26, 95, 209, 255, 163, 29]),
            ([0, 255, 0, 128], [0, 32, 173, 253, 135, 5, 32, 111, 140]),
            ([10, 20, 200, 30, 40], [9, 8, 5, 61, 176, 178, 68, 21, 34, 41]),
        ] as [([UInt8], [UInt8])])
    func oneAxis(source: [UInt8], expected: [UInt8]) throws {
        let kernels = try Kernels(threads: 1)
        let pixels = Self.row(source)
        let wide = kernels.resizeRGB(pixels, width: source.count, height: 1, to: (expected.count, 1))
        #expect(wide == Self.row(expected))
        let tall = kernels.resizeRGB(pixels, width: 1, height: source.count, to: (1, expected.count))
        #expect(tall == Self.row(expected))
    }

    @Test("two axes of the published vector")
    func twoAxes() throws {
        let source = (0..<90).map { UInt8(37 * $0 % 256) }
        let expected: [UInt8] = [
            59, 97, 139, 129, 73, 119, 161, 139, 78, 125, 152, 119, 96, 140, 132, 114, 101, 139,
            150, 119, 157, 152, 126, 118, 133, 139, 106, 135, 180, 119, 124, 139, 185, 127, 119, 161,
        ]
        #expect(try Kernels(threads: 1).resizeRGB(source, width: 5, height: 6, to: (3, 4)) == expected)
    }

    @Test("random pictures of odd sizes have Pillow's sums on every instruction set and thread count")
    func sizes() throws {
        let fixtures = try ImageFixtures.load()
        #expect(fixtures.resizes.count > 20)
        let settings = try testedISAs.flatMap { isa in
            try [1, 2, 3, 8].map { try Kernels(isa: isa, threads: $0) }
        }
        for entry in fixtures.resizes {
            let (width, height) = (entry.from[0], entry.from[1])
            var noise = Noise(seed: width * 65536 + height)
            let pixels = noise.bytes(width * height * 3)
            for kernels in settings {
                let resized = kernels.resizeRGB(pixels, width: width, height: height, to: (entry.to[0], entry.to[1]))
                #expect(
                    sum(resized) == entry.pixels,
                    "\(kernels.isa), \(kernels.threads) threads: \(entry.from) to \(entry.to)")
            }
        }
    }

    @Test("very wide and very high pictures need no memory that grows with them", arguments: [(3_000_000, 1), (1, 3_000_000)])
    func extreme(width: Int, height: Int) throws {
        let pixels = [UInt8](repeating: 77, count: width * height * 3)
        let resized = try Kernels(threads: 2).resizeRGB(pixels, width: width, height: height, to: (64, 64))
        #expect(resized == [UInt8](repeating: 77, count: 64 * 64 * 3))
    }
}
