import Albef
import AlbefFiles
import AlbefImage

/// Pictures of files, encoded before by the same process: `run` searches a folder again and again. A file counts as the same as
/// long as its size and the time of its last change are.
///
/// Of every file the feature is kept, a kilobyte or so; of the last ones that were used the tokens too, which the matching head
/// reads, within ``tokenLimit``.
struct EncodedFiles {
    /// Files whose features are kept at most.
    private static let fileLimit = 16_384
    /// Bytes of all kept tokens at most.
    private static let tokenLimit = 64 << 20

    private struct Entry {
        let stamp: FileStamp
        /// Width times height, for a later request's limit.
        let area: Int
        let feature: [Float]
        var image: EncodedImage?
        /// When it was used last, by ``clock``.
        var use: Int
    }

    private var entries: [String: Entry] = [:]
    private var tokenBytes = 0
    private var clock = 0

    /// What is known of a file: its feature, and the tokens where they are kept.
    struct Known {
        let feature: [Float]
        let image: EncodedImage?
    }

    /// What is known of a file; nil if that is nothing, if it has changed, or if it has more pixels than `maxPixels`.
    mutating func known(_ path: String, maxPixels: Int) -> Known? {
        guard let entry = entries[path], entry.area <= maxPixels, FileStamp(path: path) == entry.stamp else { return nil }
        clock += 1
        entries[path]?.use = clock
        return Known(feature: entry.feature, image: entry.image)
    }

    /// Keeps a file's encoding.
    ///
    /// - Parameter stamp: Taken before the file was read, so that a change since then is noticed.
    mutating func keep(_ image: EncodedImage, of path: String, stamp: FileStamp, area: Int) {
        guard let feature = image.feature else { return }
        forgetTokens(of: path)
        if entries.count >= EncodedFiles.fileLimit, entries[path] == nil {
            // Files that were deleted or renamed, or those of other folders.
            let oldest = clock - EncodedFiles.fileLimit / 2
            entries = entries.filter { $0.value.use > oldest }
            tokenBytes = entries.values.reduce(0) { $0 + EncodedFiles.bytes($1.image) }
        }
        clock += 1
        entries[path] = Entry(stamp: stamp, area: area, feature: feature, image: image, use: clock)
        tokenBytes += EncodedFiles.bytes(image)
        while tokenBytes > EncodedFiles.tokenLimit,
            let oldest = entries.lazy.filter({ $0.value.image != nil }).min(by: { $0.value.use < $1.value.use })
        {
            forgetTokens(of: oldest.key)
        }
    }

    private mutating func forgetTokens(of path: String) {
        tokenBytes -= EncodedFiles.bytes(entries[path]?.image)
        entries[path]?.image = nil
    }

    private static func bytes(_ image: EncodedImage?) -> Int { (image?.tokens.count ?? 0) * MemoryLayout<Float>.stride }
}
