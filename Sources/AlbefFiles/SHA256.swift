import CSha256

/// SHA-256 (FIPS 180-4), with the CPU's SHA instructions where it has them.
public struct SHA256: Sendable {
    /// Bytes of a digest.
    public static let digestSize = 32
    private var context = alb_sha256()

    /// - Parameter portable: Keeps to plain C, as on a CPU without SHA instructions; the digest is the same.
    public init(portable: Bool = false) { unsafe alb_sha256_begin(&context, portable) }

    /// Takes the next bytes of the message.
    public mutating func update(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe alb_sha256_update(&context, start, source.count)
        }
    }

    /// Takes the next bytes of the message.
    public mutating func update(_ bytes: [UInt8]) { unsafe update(bytes.span.bytes) }

    /// The digest of everything taken so far: 32 bytes. More may be taken afterwards.
    public func finalize() -> [UInt8] {
        var copy = context
        return unsafe [UInt8](unsafeUninitializedCapacity: SHA256.digestSize) { buffer, count in
            // Safe: the buffer has room for the 32 bytes that are written.
            guard let start = buffer.baseAddress else { return }
            unsafe alb_sha256_finish(&copy, start)
            count = SHA256.digestSize
        }
    }

    /// The digest of some bytes: 32 bytes.
    public static func digest(of bytes: [UInt8]) -> [UInt8] {
        var sum = SHA256()
        sum.update(bytes)
        return sum.finalize()
    }

    /// The digest of some bytes as 64 lowercase hexadecimal digits.
    public static func hex(of bytes: [UInt8]) -> String { hexadecimal(digest(of: bytes)) }

    /// The digest of a file's contents as 64 lowercase hexadecimal digits; the file is mapped and read
    /// piece by piece, however large it is.
    public static func hex(ofFile path: String) throws(FileError) -> String {
        let file = try MappedFile(path: path)
        let piece = 16 << 20
        var sum = SHA256()
        for start in stride(from: 0, to: file.byteCount, by: piece) {
            file.withBytes { sum.update($0.extracting(start..<min(start + piece, file.byteCount))) }
            file.releasePages()
        }
        return hexadecimal(sum.finalize())
    }
}

/// Bytes as lowercase hexadecimal digits, two a byte.
public func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
    return String(decoding: text, as: UTF8.self)
}
