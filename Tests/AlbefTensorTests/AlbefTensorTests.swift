import AlbefTensor
import Foundation
import Testing

@Suite("Shapes")
struct ShapeTests {
    @Test("a shape of up to four dimensions knows its count", arguments: [
        ([], 1), ([0], 0), ([7], 7), ([3, 5], 15), ([2, 3, 4], 24), ([2, 3, 4, 5], 120), ([4, 0, 9], 0),
    ] as [([Int], Int)])
    func counts(dimensions: [Int], count: Int) throws {
        let shape = try #require(Shape(validating: dimensions))
        #expect(shape.count == count && shape.rank == dimensions.count && shape.array == dimensions)
        #expect(shape.last == dimensions.last ?? 1)
    }

    @Test("dimensions from a file that cannot be are refused", arguments: [
        [1, 1, 1, 1, 1], [-1], [3, -2], [Int.max], [Int.max / 8 + 1], [1 << 31, 1 << 31], [1 << 62, 4], [Int.max, Int.max, 2],
    ])
    func refused(dimensions: [Int]) { #expect(Shape(validating: dimensions) == nil) }

    @Test("shapes differ by rank even where their counts agree")
    func equality() {
        #expect(Shape(3) != Shape(3, 1) && Shape() != Shape(1) && Shape(2, 3) == Shape(2, 3) && Shape(2, 3) != Shape(3, 2))
        #expect(Shape(2, 3).description == "[2, 3]" && Shape().description == "[]")
    }

    @Test("element types keep the numbers of the model file")
    func elementTypes() {
        #expect([ElementType.float32, .int32, .uint8, .int8].map(\.rawValue) == [0, 1, 2, 3])
        #expect([ElementType.float32, .int32, .uint8, .int8].map(\.byteWidth) == [4, 4, 1, 1])
    }
}

@Suite("Views")
struct ViewTests {
    @Test("rows and columns of a matrix are views of the same memory")
    func slices() {
        let matrix = TensorView(offset: 64, shape: Shape(5, 6), type: .float32)
        #expect(matrix.isDense && matrix.rows == 5 && matrix.columns == 6 && matrix.byteCount == 120)
        let rows = matrix.rows(1..<3)
        #expect(rows.offset == 64 + 24 && rows.shape == Shape(2, 6) && rows.isDense)
        let columns = matrix.columns(2..<4)
        #expect(columns.offset == 72 && columns.shape == Shape(5, 2) && columns.rowStride == 6 && !columns.isDense)
        #expect(columns.byteCount == (4 * 6 + 2) * 4)
        let both = columns.rows(4..<5)
        #expect(both.offset == 72 + 96 && both.byteCount == 8 && both.rowStride == 6)
    }

    @Test("empty views have no bytes", arguments: [Shape(0), Shape(0, 4), Shape(4, 0), Shape(2, 0, 3)])
    func empty(shape: Shape) { #expect(TensorView(offset: 0, shape: shape, type: .int32).byteCount == 0) }

    @Test("a dense view can take another shape")
    func reshaped() {
        let view = TensorView(offset: 128, shape: Shape(4, 6), type: .uint8).reshaped(Shape(2, 3, 4))
        #expect(view.offset == 128 && view.shape == Shape(2, 3, 4) && view.rows == 6 && view.columns == 4)
    }
}

/// What the kernel says of the mapping that holds an address: its `VmFlags`, two letters each.
private func mappingFlags(of address: UInt) throws -> [Substring] {
    var inside = false
    // A file of /proc has no size: it is read to its end.
    let smaps = try FileHandle(forReadingFrom: URL(filePath: "/proc/self/smaps")).readToEnd() ?? Data()
    for line in String(decoding: smaps, as: UTF8.self).split(separator: "\n") {
        if line.hasPrefix("VmFlags:") {
            if inside { return line.split(separator: " ").dropFirst().map { $0 } }
        } else if let range = line.split(separator: " ").first, range.contains("-") {
            let bounds = range.split(separator: "-").compactMap { UInt($0, radix: 16) }
            inside = bounds.count == 2 && bounds[0] <= address && address < bounds[1]
        }
    }
    return []
}

@Suite("The arena")
struct ArenaTests {
    @Test(
        "a large arena begins at a huge page and asks for such pages",
        .enabled(
            if: FileManager.default.fileExists(atPath: "/sys/kernel/mm/transparent_hugepage/enabled"),
            "this system has no transparent huge pages"))
    func hugePages() throws {
        // Of a small one nothing can be told: it may lie in memory that a large one asked for and gave back.
        for capacity in [1 << 21, 9 << 20 | 64] {
            let arena = Arena(capacity: capacity)
            let address = UInt(bitPattern: arena.pointer(to: arena.reserve(Shape(1))))
            let flags = try withExtendedLifetime(arena) { try mappingFlags(of: address) }
            #expect(address % (1 << 21) == 0)
            #expect(flags.contains("hg"), "\(capacity) bytes: \(flags)")
        }
    }

    @Test("a plan measures exactly what the same code then uses")
    func planEqualsUse() {
        func pass(_ arena: Arena) {
            let kept = arena.reserve(Shape(3, 7))
            arena.scoped {
                _ = arena.reserve(Shape(100))
                arena.scoped { _ = arena.reserve(Shape(65), .uint8) }
            }
            _ = arena.reserve(Shape(2), .int32)
            _ = kept
        }
        let plan = Arena.planning()
        pass(plan)
        #expect(plan.isPlanning && plan.peak == 128 + 448 + 128 && plan.used == 128 + 64)
        let arena = Arena(capacity: plan.peak)
        pass(arena)
        #expect(arena.peak == plan.peak && arena.used == plan.used && !arena.isPlanning)
    }

    @Test("every tensor begins at a multiple of 64 bytes", arguments: [1, 15, 16, 17, 63, 64, 65])
    func alignment(count: Int) {
        let arena = Arena(capacity: 4096)
        _ = arena.reserve(Shape(count), .uint8)
        let next = arena.reserve(Shape(1))
        #expect(next.offset % Arena.alignment == 0)
        #expect(UInt(bitPattern: unsafe arena.pointer(to: next)) % 64 == 0)
    }

    @Test("what is written is read back, whole, by row, by column and by element")
    func contents() {
        let arena = Arena(capacity: 4096)
        let view = arena.reserve(Shape(3, 4), .int32)
        let values = (0..<12).map { Int32($0) }
        arena.write(values.span, to: view)
        #expect(arena.read(view) == values)
        #expect(arena.read(view.columns(1..<3), as: Int32.self) == [1, 2, 5, 6, 9, 10])
        #expect(arena.read(view.rows(2..<3), as: Int32.self) == [8, 9, 10, 11])
        #expect(arena.element(3, of: view.columns(1..<3), as: Int32.self) == 6)
    }

    @Test("a copy takes rows from and to views with gaps, and leaves what lies between")
    func copy() {
        let arena = Arena(capacity: 4096)
        let source = arena.reserve(Shape(3, 4), .int32), target = arena.reserve(Shape(2, 5), .int32)
        let values = (0..<12).map { Int32($0) }, blank = [Int32](repeating: -1, count: 10)
        arena.write(values.span, to: source)
        arena.write(blank.span, to: target)
        arena.copy(source.rows(1..<3).columns(1..<3), to: target.columns(2..<4))
        #expect(arena.read(target, as: Int32.self) == [-1, -1, 5, 6, -1, -1, -1, 9, 10, -1])
        Arena.planning().copy(source, to: source)
    }

    @Test("released room is given out again")
    func release() {
        let arena = Arena(capacity: 256)
        let mark = arena.mark()
        let first = arena.reserve(Shape(64))
        arena.release(to: mark)
        #expect(arena.reserve(Shape(64)).offset == first.offset && arena.peak == 256)
    }

    @Test("a planning arena reads as zeros and ignores writes")
    func planning() {
        let arena = Arena.planning()
        let view = arena.reserve(Shape(3))
        let values: [Float] = [1, 2, 3]
        arena.write(values.span, to: view)
        #expect(arena.read(view, as: Float.self) == [0, 0, 0] && arena.element(1, of: view, as: Float.self) == 0)
    }
}

@Suite("Constant tensors and the packed layout")
struct ConstantTests {
    @Test("a constant tensor keeps its values and their bytes")
    func constant() {
        let tensor = ConstantTensor([1.5, -2, 3] as [Float], shape: Shape(3))
        #expect(tensor.read() as [Float] == [1.5, -2, 3] && tensor.byteCount == 12)
        let last = tensor.withBytes { $0.unsafeLoad(fromByteOffset: 8, as: Float.self) }
        #expect(last == 3)
        #expect(ConstantTensor([] as [Int8], shape: Shape(0)).read(as: Int8.self) == [])
    }

    @Test("channels are padded to 16 and the depth of int8 to 4", arguments: [
        (1, 1, 16, 4), (15, 3, 16, 4), (16, 4, 16, 4), (17, 5, 32, 8), (768, 768, 768, 768), (30522, 769, 30528, 772),
    ])
    func padding(channels: Int, depth: Int, paddedChannels: Int, paddedDepth: Int) {
        #expect(PackedLayout.paddedChannels(channels) == paddedChannels && PackedLayout.paddedDepth(depth) == paddedDepth)
        let int8 = PackedLayout.int8Shape(channels: channels, depth: depth)
        #expect(int8 == Shape(paddedChannels / 16, paddedDepth / 4, 16, 4) && int8.count == paddedChannels * paddedDepth)
        #expect(PackedLayout.float32Shape(channels: channels, depth: depth) == Shape(paddedChannels / 16, depth, 16))
    }

    @Test("a packed matrix says its size in either form")
    func matrices() {
        let row = Shape(32)
        let int8 = PackedMatrix.int8(
            PackedInt8Matrix(
                channels: 17, depth: 5, values: ConstantTensor([Int8](repeating: 1, count: 256), shape: Shape(2, 2, 16, 4)),
                scales: ConstantTensor([Float](repeating: 1, count: 32), shape: row),
                columnSums: ConstantTensor([Int32](repeating: 5, count: 32), shape: row)))
        let float = PackedMatrix.float32(
            PackedFloat32Matrix(
                channels: 17, depth: 5, values: ConstantTensor([Float](repeating: 1, count: 160), shape: Shape(2, 5, 16))))
        #expect(int8.channels == 17 && int8.depth == 5 && float.channels == 17 && float.depth == 5)
    }
}

@Suite("Lists in the arena")
struct ArenaListTests {
    private struct Pair: BitwiseCopyable, Equatable {
        let number: Int
        let letter: UInt8
    }

    @Test("a list holds what was added, in planning arenas too", arguments: [true, false])
    func elements(planning: Bool) {
        let arena = planning ? Arena.planning() : Arena(capacity: 0)
        var list = arena.list(of: Pair.self, capacity: 3)
        #expect(list.isEmpty && list.capacity == 3)
        for number in 0..<3 { list.append(Pair(number: number, letter: UInt8(number) + 65)) }
        #expect(list.count == 3 && list[1] == Pair(number: 1, letter: 66))
        list[1] = Pair(number: 9, letter: 90)
        list.removeLast(1)
        list.append(Pair(number: 5, letter: 70))
        #expect(list.elements.map(\.number) == [0, 9, 5])
        #expect(arena.used == 0 && arena.peak == 0)
    }

    @Test("lists do not overlap, and outlive those that were taken behind them", arguments: [1, 100, 5000])
    func nesting(count: Int) {
        let arena = Arena(capacity: 0)
        func filled(_ value: Int) -> ArenaList<Int> {
            var list: ArenaList<Int> = arena.list(capacity: count)
            for index in 0..<count { list.append(value + index) }
            return list
        }
        let outer = filled(0)
        for round in 1..<4 {
            arena.scoped {
                let inner = filled(round * 1_000_000), other = filled(-round * 1_000_000)
                #expect(inner.elements == (0..<count).map { round * 1_000_000 + $0 })
                #expect(other[0] == -round * 1_000_000)
            }
        }
        #expect(outer.elements == Array(0..<count))
    }

    @Test("elements are cleared and set one by one, gaps between rows left alone")
    func clear() {
        let arena = Arena(capacity: 256)
        let matrix = arena.reserve(Shape(3, 4))
        for index in 0..<12 { arena.set(index, of: matrix, to: Float(index + 1)) }
        arena.clear(matrix.columns(1..<3).rows(1..<3))
        #expect(arena.read(matrix) as [Float] == [1, 2, 3, 4, 5, 0, 0, 8, 9, 0, 0, 12])
        let stack = matrix.reshaped(Shape(3, 2, 2))
        #expect(arena.read(stack.matrix(2)) as [Float] == [9, 0, 0, 12])
    }
}
