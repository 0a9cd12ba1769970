import AlbefTensor
import Glibc

/// A whole file as memory, read by the system only where it is touched, and never copied.
///
/// Only regular files are mapped: a folder, device or pipe is refused, and so is an empty file. The mapping keeps the file's
/// size at opening. Replacing the file by a rename, as this package's own writers do, leaves an open mapping untouched. Should
/// another program cut an open file short in place, touching the missing pages ends the process with SIGBUS: it stops, and
/// never computes with wrong bytes or reads other memory.
@safe public final class MappedFile: @unchecked Sendable {
    /// The path as given.
    public let path: String
    /// Bytes of the file.
    public let byteCount: Int
    /// Safe: `byteCount` readable bytes, unmapped only in `deinit`, never written.
    private let start: UnsafeRawPointer
    /// Whether the pages can be read from a file again.
    private let isBacked: Bool

    /// Maps the file at `path`.
    ///
    /// - Throws: ``FileError``: missing, unreadable, or malformed when it is empty.
    public init(path: String) throws(FileError) {
        let descriptor = try System.openForReading(path)
        defer { close(descriptor) }
        let status = try System.status(of: descriptor, path: path)
        guard status.isRegular else {
            throw .unreadable(path: path, reason: status.isFolder ? "it is a folder" : "it is not a regular file")
        }
        guard status.size > 0 else {
            throw .malformed(path: path, field: "file size", found: "0 bytes", expected: "some content")
        }
        let address = unsafe mmap(nil, status.size, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else { throw System.readError(path) }
        self.path = path
        byteCount = status.size
        isBacked = true
        unsafe start = UnsafeRawPointer(address)
    }

    /// A file's content that is in memory already, for example after decompression; it is copied once.
    ///
    /// - Parameter path: What messages call it.
    /// - Throws: ``FileError``: malformed when it is empty, unreadable when there is no memory.
    public init(content: [UInt8], path: String) throws(FileError) {
        guard !content.isEmpty else {
            throw .malformed(path: path, field: "file size", found: "0 bytes", expected: "some content")
        }
        let address = unsafe mmap(nil, content.count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else { throw System.readError(path) }
        // Safe: the mapping has exactly as many bytes.
        unsafe content.withUnsafeBytes { source in
            if let first = source.baseAddress { unsafe address.copyMemory(from: first, byteCount: source.count) }
        }
        self.path = path
        byteCount = content.count
        isBacked = false
        unsafe start = UnsafeRawPointer(address)
    }

    deinit { unsafe munmap(UnsafeMutableRawPointer(mutating: start), byteCount) }

    /// Runs `body` over all bytes.
    public func withBytes<Result, Failure: Error>(_ body: (RawSpan) throws(Failure) -> Result) throws(Failure) -> Result {
        // Safe: the span cannot leave the closure, and this object outlives the call.
        let span = unsafe RawSpan(_unsafeStart: start, byteCount: byteCount)
        return try body(span)
    }

    /// Gives back the memory of all pages that were touched. They are read from the file again where they are touched again, so
    /// that a pass over a large file need not hold all of it.
    public func releasePages() {
        if !isBacked { return }
        // Safe: the mapping stays; its pages are never written, so the file has what they held.
        unsafe madvise(UnsafeMutableRawPointer(mutating: start), byteCount, MADV_DONTNEED)
    }

    /// A copy of some bytes, nil where they do not all lie in the file.
    public func copy(at offset: Int, count: Int) -> [UInt8]? {
        guard offset >= 0, count >= 0, offset <= byteCount, count <= byteCount - offset else { return nil }
        // Safe: the range was just checked.
        return unsafe [UInt8](UnsafeRawBufferPointer(start: start + offset, count: count))
    }

    /// A tensor that lies in the file, without a copy; it keeps the mapping alive.
    ///
    /// - Returns: nil when it does not lie wholly in the file, or its start is not aligned to the width of its elements.
    public func tensor(at offset: Int, shape: Shape, type: ElementType) -> ConstantTensor? {
        let (size, overflow) = shape.count.multipliedReportingOverflow(by: type.byteWidth)
        guard !overflow, offset >= 0, offset <= byteCount, size <= byteCount - offset, offset % type.byteWidth == 0 else {
            return nil
        }
        // Safe: the range was just checked, the mapping begins at a page, and `self` is the owner.
        return unsafe ConstantTensor(start: start + offset, shape: shape, type: type, owner: self)
    }
}
