/// A mapped safetensors file, checked as strictly as the reference reader does: a header of at most 100 MB, tensors without
/// holes and overlaps, covered to the last byte of the file.
public final class SafetensorsFile: Sendable {
    /// A tensor of the file.
    public struct Entry: Sendable, Equatable {
        public let name: String
        public let dtype: Safetensors.DType
        /// Dimensions, outermost first; empty for a scalar.
        public let shape: [Int]
        /// Where its bytes lie in the file.
        public let byteRange: Range<Int>
        /// Number of elements.
        public var count: Int { byteRange.count / dtype.byteWidth }
    }

    /// The path as given.
    public var path: String { file.path }
    /// Names of all tensors, in the order of their bytes.
    public let names: [String]
    /// Free texts of the header's `__metadata__`; empty without one.
    public let metadata: [String: String]
    private let entries: [String: Entry]
    private let file: MappedFile

    /// Opens and checks a file. Its header is held in memory, about 50 times its size at worst; no tensor is touched.
    public convenience init(path: String) throws(FileError) { try self.init(MappedFile(path: path)) }

    /// Checks a file that is in memory already.
    ///
    /// - Parameter path: What messages call it.
    public convenience init(content: [UInt8], path: String) throws(FileError) {
        try self.init(MappedFile(content: content, path: path))
    }

    private init(_ file: MappedFile) throws(FileError) {
        self.file = file
        let path = file.path
        let header = try SafetensorsHeader(file)
        metadata = header.metadata
        var table: [String: Entry] = [:]
        table.reserveCapacity(header.entries.count)
        for entry in header.entries where table.updateValue(entry, forKey: entry.name) != nil {
            throw .malformed(path: path, field: "name '\(entry.name)'", found: "there twice", expected: "every name once")
        }
        entries = table
        names = header.entries.map(\.name).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Where a tensor lies; nil when there is none of this name.
    public subscript(name: String) -> Entry? { entries[name] }

    /// Whether there is a tensor of this name.
    public func contains(_ name: String) -> Bool { entries[name] != nil }

    /// Runs `body` over the bytes of a tensor.
    public func withBytes<Result>(of name: String, _ body: (RawSpan) -> Result) throws(FileError) -> Result {
        let entry = try entry(name)
        return file.withBytes { body($0.extracting(entry.byteRange)) }
    }

    /// Gives back the memory of what was read; see ``MappedFile/releasePages()``.
    public func releasePages() { file.releasePages() }

    /// The elements of a floating-point tensor as float32: F32 as they are; F16 and BF16 exactly; F64 rounded to nearest.
    public func floats(_ name: String) throws(FileError) -> [Float] {
        let entry = try entry(name)
        let start = entry.byteRange.lowerBound
        switch entry.dtype {
        case .f32: return file.withBytes { AlbefFiles.floats(in: $0, at: start, count: entry.count) }
        case .f16: return convert(entry) { (bits: UInt16) in floatFromHalf(bits) }
        case .bf16: return convert(entry) { (bits: UInt16) in Float(bitPattern: UInt32(bits) << 16) }
        case .f64: return convert(entry) { (bits: UInt64) in Float(Double(bitPattern: bits)) }
        default: throw wrongType(entry, "F32, F16, BF16 or F64")
        }
    }

    /// The elements of an integer tensor.
    public func integers(_ name: String) throws(FileError) -> [Int64] {
        let entry = try entry(name)
        switch entry.dtype {
        case .i64: return convert(entry) { (bits: UInt64) in Int64(bitPattern: bits) }
        case .i32: return convert(entry) { (bits: UInt32) in Int64(Int32(bitPattern: bits)) }
        case .i16: return convert(entry) { (bits: UInt16) in Int64(Int16(bitPattern: bits)) }
        case .u8, .bool: return convert(entry) { (bits: UInt8) in Int64(bits) }
        case .i8: return convert(entry) { (bits: UInt8) in Int64(Int8(bitPattern: bits)) }
        default: throw wrongType(entry, "an integer type")
        }
    }

    private func entry(_ name: String) throws(FileError) -> Entry {
        guard let entry = entries[name] else {
            throw .malformed(path: path, field: "tensor '\(name)'", found: "missing", expected: "to be there")
        }
        return entry
    }

    private func wrongType(_ entry: Entry, _ expected: String) -> FileError {
        .malformed(path: path, field: "type of tensor '\(entry.name)'", found: entry.dtype.rawValue, expected: expected)
    }

    /// Reads little-endian elements, aligned or not, and turns each into a `Result`.
    private func convert<Bits: FixedWidthInteger & BitwiseCopyable, Result>(_ entry: Entry, _ body: (Bits) -> Result)
        -> [Result]
    {
        file.withBytes { bytes in
            let span = bytes.extracting(entry.byteRange)
            return (0..<entry.count).map { index in
                // Safe: the load checks its range, and every bit pattern is an integer.
                body(
                    Bits(
                        littleEndian: unsafe span.unsafeLoadUnaligned(
                            fromByteOffset: index * MemoryLayout<Bits>.size, as: Bits.self)))
            }
        }
    }
}

/// IEEE 754 binary16 as float32, exactly, by moving bits.
func floatFromHalf(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10 & 0x1F)
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0:
        guard fraction != 0 else { return Float(bitPattern: sign) }
        // A subnormal half is a normal float: its leading one moves to the implicit place.
        let shift = UInt32(fraction.leadingZeroBitCount - 21)
        return Float(bitPattern: sign | (113 - shift) << 23 | (fraction << (13 + shift)) & 0x7F_FFFF)
    case 31: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
}
