import AlbefFiles
import CZstd

/// Files that are one zstd frame, such as the tensors of golden fixtures.
public enum CompressedFile {
    /// The content of a compressed file.
    ///
    /// - Parameter limit: Bytes of content at most; the frame must state its content's size, so that a small file cannot ask
    ///   for much memory.
    public static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8] {
        try decompress(readFile(path, limit: limit), path: path, limit: limit)
    }

    /// The content of a frame.
    ///
    /// - Parameter path: What messages call it.
    public static func decompress(_ bytes: [UInt8], path: String, limit: Int) throws(FileError) -> [UInt8] {
        let stated = unsafe bytes.withUnsafeBytes { source in
            // Safe: the call reads within the given size.
            unsafe ZSTD_getFrameContentSize(source.baseAddress, source.count)
        }
        // Errors and an unknown size are the two greatest values.
        guard stated <= UInt64(limit) else {
            throw .malformed(
                path: path, field: "zstd frame", found: "no frame that states its size, or one above the limit",
                expected: "one frame of at most \(limit) bytes of content")
        }
        guard let content = Compression.decompress(bytes, size: Int(stated)) else {
            throw .malformed(path: path, field: "zstd frame", found: "damaged data", expected: "one whole frame")
        }
        return content
    }
}
