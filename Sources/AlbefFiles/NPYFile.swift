/// A NumPy array of float32 on disk: format version 1.0, little-endian, C order.
public struct NPYFile: Sendable, Equatable {
    /// Dimensions, outermost first; empty for a scalar.
    public let shape: [Int]
    /// Elements, row after row.
    public let values: [Float]

    private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    /// The most bytes of a header that are read; version 1.0 cannot hold more.
    private static let maximumHeader = 1 << 16

    /// - Precondition: there are as many values as the shape says.
    public init(shape: [Int], values: [Float]) {
        precondition(shape.reduce(1, *) == values.count)
        self.shape = shape
        self.values = values
    }

    /// Writes the file whole or not at all.
    public func write(to path: String) throws(FileError) {
        // NumPy's own writer pads so that the data begin at a multiple of 64.
        let dimensions = shape.map { "\($0)" }.joined(separator: ", ") + (shape.count == 1 ? "," : "")
        var header = Array("{'descr': '<f4', 'fortran_order': False, 'shape': (\(dimensions)), }".utf8)
        let unpadded = NPYFile.magic.count + 4 + header.count + 1
        header += Array(repeating: UInt8(ascii: " "), count: (64 - unpadded % 64) % 64) + [UInt8(ascii: "\n")]
        let writer = try AtomicFileWriter(path: path)
        try writer.write(NPYFile.magic + [1, 0, UInt8(header.count & 255), UInt8(header.count >> 8)] + header)
        try unsafe writer.write(values.span.bytes)
        try writer.commit()
    }

    /// Reads a file of version 1.0 that holds little-endian float32 in C order.
    public init(path: String) throws(FileError) {
        func malformed(_ field: String, _ found: String, _ expected: String) -> FileError {
            .malformed(path: path, field: field, found: found, expected: expected)
        }
        let file = try MappedFile(path: path)
        guard let start = file.copy(at: 0, count: 10), start.prefix(6).elementsEqual(NPYFile.magic) else {
            throw malformed("beginning", "something else", "the magic bytes of a .npy file")
        }
        guard start[6] == 1 else { throw malformed("version", "\(start[6]).\(start[7])", "1.0") }
        let size = Int(start[8]) | Int(start[9]) << 8
        guard let header = file.copy(at: 10, count: size) else {
            throw malformed("header length", "\(size) bytes", "at most the file's \(file.byteCount) bytes")
        }
        let text = String(decoding: header, as: UTF8.self).filter { $0 != " " && $0 != "\n" }
        // The writers in use put the keys in this order; a stricter reading would need Python's grammar.
        guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close,
            text[..<open] == "{'descr':'<f4','fortran_order':False,'shape':"
        else { throw malformed("header", text, "'<f4' in C order") }
        let numbers = text[text.index(after: open)..<close].split(separator: ",").map { Int($0) }
        var count = 1
        for number in numbers {
            let (next, overflow) = count.multipliedReportingOverflow(by: number ?? -1)
            guard let number, number >= 0, !overflow else { throw malformed("shape", text, "whole numbers") }
            count = next
        }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: 4)
        guard !overflow, bytes == file.byteCount - 10 - size else {
            throw malformed("data size", "\(file.byteCount - 10 - size) bytes", "4 bytes for each of \(count) elements")
        }
        shape = numbers.compactMap { $0 }
        values = file.withBytes { floats(in: $0, at: 10 + size, count: count) }
    }
}

/// Copies little-endian float32 values that need not be aligned.
///
/// - Precondition: they lie in the span.
func floats(in bytes: RawSpan, at offset: Int, count: Int) -> [Float] {
    precondition(offset >= 0 && count >= 0 && offset <= bytes.byteCount && count <= (bytes.byteCount - offset) / 4)
    return unsafe [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
        // Safe: the range was just checked, and the buffer has room for `count` elements.
        unsafe bytes.withUnsafeBytes { source in
            unsafe UnsafeMutableRawBufferPointer(buffer).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: source[offset..<(offset + count * 4)]))
        }
        initialized = count
    }
}
