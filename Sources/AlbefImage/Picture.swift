import AlbefFiles
import AlbefKernels

/// A decoded picture: 8-bit RGB, row after row from the top.
public struct Picture: Sendable, Equatable {
    /// Size in pixels, both at least 1.
    public let width, height: Int
    /// `width * height * 3` bytes.
    public let pixels: [UInt8]

    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width > 0 && height > 0 && pixels.count == width * height * 3)
        self.width = width
        self.height = height
        self.pixels = pixels
    }
}

/// Why a picture cannot be used.
public enum ImageError: ClassifiedError, Equatable {
    /// The file cannot be read, or is missing.
    case file(FileError)
    /// Neither a JPEG nor a PNG file.
    case unknownFormat(path: String)
    /// Damaged, truncated or of an unsupported kind; the reason is the decoder's.
    case malformed(path: String, reason: String)
    /// More pixels than allowed, by the header.
    case tooLarge(path: String, width: Int, height: Int, limit: Int)
    /// The decoder found no memory.
    case noMemory(path: String)

    public var kind: FailureKind {
        switch self {
        case .file(let error): error.kind
        case .unknownFormat, .malformed, .tooLarge: .badData
        case .noMemory: .internalFault
        }
    }

    public var description: String {
        switch self {
        case .file(let error):
            error.description
        case .unknownFormat(let path):
            "\(singleLine(path)): not a picture that can be read; expected JPEG or PNG content"
        case .malformed(let path, let reason):
            "\(singleLine(path)): cannot be decoded: \(singleLine(reason))"
        case .tooLarge(let path, let width, let height, let limit):
            "\(singleLine(path)): \(width) x \(height) pixels, expected at most \(limit) in all; see --max-pixels"
        case .noMemory(let path):
            "\(singleLine(path)): not enough memory to decode it"
        }
    }
}

/// Pixels that a picture may have unless told otherwise: where Pillow refuses to go on.
public let defaultMaximumPixels = 178_956_970

/// The most bytes that a picture file may have.
private let maximumFileSize = 1 << 30

/// Decodes a JPEG or PNG file, told apart by content, to what Pillow's `Image.open(path).convert("RGB")` gives: EXIF
/// orientation is ignored, grey is replicated, palettes are expanded, transparency is dropped without compositing.
///
/// - Parameters:
///   - path: The file.
///   - maxPixels: Width times height beyond which the picture is refused; taken from the header, before anything is
///     allocated.
/// - Throws: ``ImageError``, each case one line that names the file.
public func decodePicture(path: String, maxPixels: Int = defaultMaximumPixels) throws(ImageError) -> Picture {
    let bytes: [UInt8]
    do throws(FileError) {
        bytes = try readFile(path, limit: maximumFileSize)
    } catch {
        throw .file(error)
    }
    return try decodePicture(bytes, path: path, maxPixels: maxPixels)
}

/// Decodes a JPEG or PNG file that is in memory.
///
/// - Parameter path: What errors call it.
public func decodePicture(_ bytes: [UInt8], path: String, maxPixels: Int = defaultMaximumPixels) throws(ImageError)
    -> Picture
{
    let size = try ImageCodecs.size(of: bytes, path: path)
    // Regions of a heatmap are counted in 32 bits.
    let limit = min(maxPixels, Int(Int32.max) - 1)
    guard size.height <= limit / size.width else {
        throw .tooLarge(path: path, width: size.width, height: size.height, limit: limit)
    }
    let pixels = try ImageCodecs.decode(bytes, width: size.width, height: size.height, path: path)
    return Picture(width: size.width, height: size.height, pixels: pixels)
}

/// Resizes to a square as the models were trained with: Pillow's bicubic filter on 8-bit data, the aspect ratio not kept.
///
/// - Returns: `size * size * 3` bytes, RGB.
public func resize(_ picture: Picture, to size: Int, kernels: Kernels) -> [UInt8] {
    kernels.resizeRGB(picture.pixels, width: picture.width, height: picture.height, to: (size, size))
}

/// Writes an RGB PNG without metadata; the file appears complete or not at all.
public func writePNG(_ picture: Picture, to path: String) throws(ImageError) {
    let bytes = try ImageCodecs.encodePNG(picture, path: path)
    do throws(FileError) {
        try writeAtomically(bytes, to: path)
    } catch {
        throw .file(error)
    }
}
