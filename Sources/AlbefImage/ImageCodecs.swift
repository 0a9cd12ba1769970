import CImageCodecs

/// The border to the C shim over libjpeg and libpng: the only code of this target that handles addresses.
enum ImageCodecs {
    /// Width and height by the file's header, both at least 1.
    static func size(of bytes: [UInt8], path: String) throws(ImageError) -> (width: Int, height: Int) {
        var info = alb_image_info()
        let status = unsafe alb_image_read_header(bytes, bytes.count, &info)
        try check(status, info, path)
        guard info.width > 0, info.height > 0 else { throw .malformed(path: path, reason: "a side of 0 pixels") }
        return (Int(info.width), Int(info.height))
    }

    /// Pixels of a file whose header has been read.
    static func decode(_ bytes: [UInt8], width: Int, height: Int, path: String) throws(ImageError) -> [UInt8] {
        var info = alb_image_info()
        info.width = UInt32(width)
        info.height = UInt32(height)
        var status = ALB_IMAGE_OK
        let count = width * height * 3
        // Memory that nothing has touched yet: a small file that claims to be a large picture fails before it costs any.
        let pixels = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            // Safe: the shim writes as many bytes as the width and height it is given say, refuses a file with others,
            // and has written all of them when it succeeds. A picture is not empty, so there is a base address.
            if let start = buffer.baseAddress { unsafe status = alb_image_decode(bytes, bytes.count, start, &info) }
            initialized = status == ALB_IMAGE_OK ? count : 0
        }
        try check(status, info, path)
        return pixels
    }

    /// A PNG file of the picture.
    static func encodePNG(_ picture: Picture, path: String) throws(ImageError) -> [UInt8] {
        var info = alb_image_info()
        var start: UnsafeMutablePointer<UInt8>?
        var count = 0
        let status = unsafe alb_png_encode(
            picture.pixels, UInt32(picture.width), UInt32(picture.height), &start, &count, &info)
        // Safe: freed once, after the copy below.
        defer { unsafe alb_png_free(start) }
        try check(status, info, path)
        return unsafe Array(UnsafeBufferPointer(start: start, count: count))
    }

    private static func check(_ status: alb_image_status, _ info: alb_image_info, _ path: String) throws(ImageError) {
        switch status {
        case ALB_IMAGE_OK: return
        case ALB_IMAGE_UNKNOWN_FORMAT: throw .unknownFormat(path: path)
        case ALB_IMAGE_NO_MEMORY: throw .noMemory(path: path)
        default: throw .malformed(path: path, reason: message(info))
        }
    }

    private static func message(_ info: alb_image_info) -> String {
        var info = info
        return unsafe withUnsafeBytes(of: &info.message) { bytes in
            // The shim ends every message with a zero inside of the field.
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
