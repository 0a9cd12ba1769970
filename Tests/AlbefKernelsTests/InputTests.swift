import AlbefKernels
import AlbefTensor
import Testing

@Suite("Pictures and token ids become rows")
struct InputTests {
    @Test("pixels are scaled, shifted and moved to planes", arguments: [1, 2, 3, 8])
    func pixels(threads: Int) throws {
        let kernels = try Kernels(threads: threads)
        let size = 70
        let arena = Arena(capacity: 1 << 20)
        let pixels = arena.reserve(Shape(size, size, 3), .uint8)
        let result = arena.reserve(Shape(3, size, size))
        let values = (0..<size * size * 3).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 / 256) }
        arena.write(values.span, to: pixels)
        let mean: [Float] = [0.48145466, 0.4578275, 0.40821073], std: [Float] = [0.26862954, 0.26130258, 0.27577711]
        kernels.normalizePixels(pixels, mean: mean, std: std, to: result, in: arena)
        let found = arena.read(result, as: Float.self)
        for y in 0..<size {
            for x in 0..<size {
                for c in 0..<3 {
                    let expected = (Float(values[(y * size + x) * 3 + c]) / 255 - mean[c]) / std[c]
                    #expect(found[(c * size + y) * size + x] == expected)
                }
            }
        }
    }

    @Test("patches are cut in channel, row, column order", arguments: [(1, 6, 2), (2, 24, 8), (3, 9, 9), (8, 20, 1)])
    func patches(threads: Int, size: Int, patch: Int) throws {
        let kernels = try Kernels(threads: threads)
        let arena = Arena(capacity: 1 << 20)
        let pixels = arena.reserve(Shape(3, size, size))
        let grid = size / patch
        let result = arena.reserve(Shape(grid * grid, 3 * patch * patch))
        let values = (0..<3 * size * size).map { Float($0) }
        arena.write(values.span, to: pixels)
        kernels.patches(pixels, patch: patch, to: result, in: arena)
        let found = arena.read(result, as: Float.self)
        var index = 0
        for gy in 0..<grid {
            for gx in 0..<grid {
                for c in 0..<3 {
                    for y in 0..<patch {
                        for x in 0..<patch {
                            #expect(found[index] == Float((c * size + gy * patch + y) * size + gx * patch + x))
                            index += 1
                        }
                    }
                }
            }
        }
    }

    @Test("the class token comes first and every token gets its position")
    func imageTokens() throws {
        let count = 100, width = 19
        let cls = ConstantTensor(Array(randomFloats[0..<width]), shape: Shape(width))
        let positions = ConstantTensor(Array(randomFloats[500..<500 + (1 + count) * width]), shape: Shape(1 + count, width))
        let rows = Array(randomFloats[4000..<4000 + count * width])
        for threads in [1, 2, 3, 8] {
            let kernels = try Kernels(threads: threads)
            let arena = Arena(capacity: 1 << 20)
            let patches = arena.reserve(Shape(count, width)), result = arena.reserve(Shape(1 + count, width))
            arena.write(rows.span, to: patches)
            kernels.imageTokens(patches, cls: cls, positions: positions, to: result, in: arena)
            let expected = (cls.read(as: Float.self) + rows).enumerated().map { $1 + randomFloats[500 + $0] }
            #expect(arena.read(result, as: Float.self) == expected)
        }
    }

    @Test("a token is (word + type) + the position of its place, from int8 and from float32 words", arguments: [1, 4, 5, 33])
    func embed(width: Int) throws {
        let vocabulary = 37
        let weights = Array(randomFloats[0..<vocabulary * width])
        let packed = try #require(Kernels.packInt8(weights, channels: vocabulary, depth: width))
        let exact = try #require(Kernels.packFloat32(weights, channels: vocabulary, depth: width))
        let matrices: [PackedMatrix] = [
            .int8(packed.matrix(channels: vocabulary, depth: width)),
            .float32(
                PackedFloat32Matrix(
                    channels: vocabulary, depth: width,
                    values: ConstantTensor(exact, shape: PackedLayout.float32Shape(channels: vocabulary, depth: width)))),
        ]
        let ids: [Int32] = [0, 36, 15, 16, 17, 3, 3, 31, 32]
        let positions = ConstantTensor(Array(randomFloats[9000..<9000 + 12 * width]), shape: Shape(12, width))
        let types = ConstantTensor(Array(randomFloats[7000..<7000 + 2 * width]), shape: Shape(2, width))
        for (matrix, threads) in zip(matrices + matrices, [1, 2, 3, 8]) {
            let words = Kernels.unpack(matrix)
            let kernels = try Kernels(threads: threads)
            let arena = Arena(capacity: 1 << 16)
            let tokens = arena.reserve(Shape(ids.count), .int32), result = arena.reserve(Shape(ids.count, width))
            arena.write(ids.span, to: tokens)
            for places: [Int32] in [[0, 1, 2, 3, 4, 5, 6, 7, 8], [3, 4, 5, 0, 11, 5, 5, 1, 2]] {
                let at = arena.reserve(Shape(ids.count), .int32)
                arena.write(places.span, to: at)
                kernels.embed(
                    tokens, at: at, words: matrix, positions: positions, types: types, to: result, in: arena)
                let found = arena.read(result, as: Float.self)
                for (t, id) in ids.enumerated() {
                    for j in 0..<width {
                        let word = words[Int(id) * width + j] + randomFloats[7000 + j]
                        #expect(found[t * width + j] == word + randomFloats[9000 + Int(places[t]) * width + j])
                    }
                }
            }
        }
    }
}
