import AlbefTensor

/// The constants of the file format; `docs/model-file-format.md` describes it byte by byte.
enum Format {
    /// A byte above 127, the name, and both line endings: a transfer as text changes it visibly.
    static let magic: [UInt8] = [0x89] + Array("ALBEF".utf8) + [0x0D, 0x0A]
    static let major: UInt32 = 1
    static let minor: UInt32 = 0
    /// Bytes of the header, and of that part of it which its sum covers.
    static let headerSize = 128
    static let summedHeaderSize = 96
    /// Every section, and every block of weights, begins at a multiple of this.
    static let alignment = 64
    /// Bytes of a row of the section table.
    static let sectionRowSize = 64
    /// More sections than any version has; bounds the table.
    static let maximumSections = 64
    /// Bytes before the rows of the tensor table, and of a row.
    static let tensorTableHead = 16
    static let tensorRowSize = 80
    /// Longest name of a tensor in bytes.
    static let maximumNameLength = 512
    /// A compressed section may grow to this many times its stored size, not more.
    static let maximumExpansion = 256
    /// Greatest depth of an int8 matrix: beyond, a sum could exceed int32.
    static let maximumInt8Depth = 32_768

    static func aligned(_ offset: Int) -> Int { (offset + alignment - 1) / alignment * alignment }
}

/// What a section holds. Raw values stand in the section table, and sections lie in their order.
public enum SectionKind: UInt32, Sendable, CaseIterable {
    /// All tensors' values, scales and column sums, as the kernels read them.
    case weights = 1
    /// Names, types, shapes and places of the tensors.
    case tensors = 2
    /// JSON: task, precision and the model's configuration.
    case configuration = 3
    /// The vocabulary, a line an entry.
    case vocabulary = 4
    /// The answers that visual question answering ranks, a line an answer.
    case answers = 5
    /// JSON: where the model comes from.
    case provenance = 6
}

/// A section of a model file, for listings.
public struct SectionEntry: Sendable, Equatable {
    /// nil for a kind that a newer minor version added.
    public let kind: SectionKind?
    /// The kind's number in the file.
    public let code: UInt32
    /// Whether it is compressed with zstd.
    public let isCompressed: Bool
    /// Where its bytes begin in the file.
    public let offset: Int
    /// Bytes in the file.
    public let storedSize: Int
    /// Bytes after decompression.
    public let size: Int
    /// SHA-256 of the stored bytes: 32 bytes.
    public let sum: [UInt8]

    /// The kind's name, or its number.
    public var name: String { kind.map { "\($0)" } ?? "section \(code)" }
}

/// How a tensor is stored.
public enum TensorKind: String, Sendable {
    /// Float32, row after row.
    case float32
    /// Float32 in the kernels' packed layout.
    case matrixFloat32
    /// Int8 in the kernels' packed layout, with float32 scales and int32 column sums.
    case matrixInt8
}

/// A tensor of a model file, for listings.
public struct TensorEntry: Sendable, Equatable {
    public let name: String
    public let kind: TensorKind
    /// Dimensions as the checkpoint has them, before packing; `[channels, depth]` for a matrix.
    public let shape: Shape
    /// Offsets of the blocks from the start of the weights: values, then for int8 matrices scales and column sums.
    let offsets: [Int]
    /// Bytes of the blocks.
    let sizes: [Int]

    /// Bytes in the file: values, scales and column sums.
    public var byteCount: Int { sizes.reduce(0, +) }

    /// Bytes of the blocks of a tensor, nil where they exceed 64 bits.
    static func blockSizes(_ kind: TensorKind, _ shape: Shape) -> [Int]? {
        func bytes(_ rows: Int, _ columns: Int, _ width: Int) -> Int? {
            let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
            let (size, again) = count.multipliedReportingOverflow(by: width)
            return overflow || again || size > Int.max / 2 ? nil : size
        }
        switch kind {
        case .float32: return bytes(shape.count, 1, 4).map { [$0] }
        case .matrixFloat32:
            guard shape.rank == 2 else { return nil }
            return bytes(PackedLayout.paddedChannels(shape[0]), shape[1], 4).map { [$0] }
        case .matrixInt8:
            guard shape.rank == 2, shape[1] <= Format.maximumInt8Depth else { return nil }
            let channels = PackedLayout.paddedChannels(shape[0])
            guard let values = bytes(channels, PackedLayout.paddedDepth(shape[1]), 1), let row = bytes(channels, 1, 4)
            else { return nil }
            return [values, row, row]
        }
    }

    /// Element type and layout as the tensor table writes them.
    var codes: (type: UInt32, layout: UInt32) {
        switch kind {
        case .float32: (ElementType.float32.rawValue, 0)
        case .matrixFloat32: (ElementType.float32.rawValue, 1)
        case .matrixInt8: (ElementType.int8.rawValue, 1)
        }
    }

    /// The kind for an element type and a layout; nil where there is none.
    static func kind(type: UInt32, layout: UInt32) -> TensorKind? {
        switch (type, layout) {
        case (ElementType.float32.rawValue, 0): .float32
        case (ElementType.float32.rawValue, 1): .matrixFloat32
        case (ElementType.int8.rawValue, 1): .matrixInt8
        default: nil
        }
    }
}

/// Writes and reads little-endian integers.
extension [UInt8] {
    mutating func append(little value: UInt32) {
        for shift in 0..<4 { append(UInt8(truncatingIfNeeded: value >> (8 * shift))) }
    }
    mutating func append(little value: UInt64) {
        for shift in 0..<8 { append(UInt8(truncatingIfNeeded: value >> (8 * shift))) }
    }
    mutating func append(little value: Int) { append(little: UInt64(value)) }

    /// The little-endian integer at an offset that lies inside.
    func uint32(at offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(self[offset + $1]) << (8 * $1) } }
    func uint64(at offset: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(self[offset + $1]) << (8 * $1) } }
    /// nil where the number exceeds `Int.max`.
    func int(at offset: Int) -> Int? { Int(exactly: uint64(at: offset)) }
}
