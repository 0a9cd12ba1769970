import CZstd

/// The text sections' compression: one zstd frame each, which states its content's size.
enum Compression {
    /// High, for the exporter has time; it does not change the speed of reading.
    private static let level: Int32 = 19

    /// One frame; nil where the library fails.
    static func compress(_ bytes: [UInt8]) -> [UInt8]? {
        let bound = ZSTD_compressBound(bytes.count)
        var failed = false
        let result = unsafe [UInt8](unsafeUninitializedCapacity: bound) { target, count in
            unsafe bytes.withUnsafeBytes { source in
                // Safe: both sizes are passed along.
                let size = unsafe ZSTD_compress(target.baseAddress, bound, source.baseAddress, source.count, level)
                failed = ZSTD_isError(size) != 0
                count = failed ? 0 : size
            }
        }
        return failed ? nil : result
    }

    /// The content of a frame that fills `bytes` and holds exactly `size` bytes; nil where it is anything else.
    ///
    /// Allocates `size` bytes and zstd's context of some 100 KB, whatever the frame claims to need.
    static func decompress(_ bytes: [UInt8], size: Int) -> [UInt8]? {
        let isExact = unsafe bytes.withUnsafeBytes { source in
            // Safe: both calls read within the given size.
            unsafe ZSTD_getFrameContentSize(source.baseAddress, source.count) == UInt64(size)
                && ZSTD_findFrameCompressedSize(source.baseAddress, source.count) == source.count
        }
        guard isExact else { return nil }
        var done = false
        let result = unsafe [UInt8](unsafeUninitializedCapacity: size) { target, count in
            unsafe bytes.withUnsafeBytes { source in
                // Safe: both sizes are passed along; nothing is written past `size`.
                let written = unsafe ZSTD_decompress(target.baseAddress, size, source.baseAddress, source.count)
                done = ZSTD_isError(written) == 0 && written == size
                count = done ? size : 0
            }
        }
        return done ? result : nil
    }
}

/// Texts without line breaks, each ended by a line feed.
enum Lines {
    static func encode(_ lines: [String]) -> [UInt8] {
        var bytes: [UInt8] = []
        for line in lines {
            bytes += line.utf8
            bytes.append(0x0A)
        }
        return bytes
    }

    /// nil where the bytes are not UTF-8 or the last line does not end.
    static func decode(_ bytes: [UInt8]) -> [String]? {
        if bytes.isEmpty { return [] }
        guard bytes.last == 0x0A, String(validating: bytes, as: UTF8.self) != nil else { return nil }
        return unsafe bytes.withUnsafeBufferPointer { buffer in
            var lines: [String] = []
            lines.reserveCapacity(unsafe buffer.count { $0 == 0x0A })
            var start = 0
            for index in buffer.indices where unsafe buffer[index] == 0x0A {
                // Safe: both indices lie in the buffer, and the text was checked as a whole.
                unsafe lines.append(String(decoding: UnsafeBufferPointer(rebasing: buffer[start..<index]), as: UTF8.self))
                start = index + 1
            }
            return lines
        }
    }
}
