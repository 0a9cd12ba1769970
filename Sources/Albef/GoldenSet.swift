import AlbefFiles
import AlbefModelFile

/// Golden fixtures of one model: pictures, texts, and the tensors that PyTorch computed from them in float32.
///
/// A folder with `manifest.json`, a zstd-compressed safetensors file that the manifest names with its SHA-256, and after
/// `verify --record` the digests of this runtime's own tensors in `exact.json`. Pictures lie beside the folder.
public struct GoldenSet: Sendable {
    /// A picture file.
    public struct PictureFile: Sendable {
        /// From the working folder.
        public let path: String
        /// SHA-256 of its bytes, in hex.
        public let sum: String
    }

    /// One picture, or two, with one text.
    public struct Case: Sendable {
        public let name: String
        /// One, or the left one and the right one.
        public let pictures: [PictureFile]
        /// What goes with the pictures, as a user would type it.
        public let text: String
        /// Whether it is a caption, a caption with masked words, or a question.
        public let purpose: PreparedText.Purpose
        /// Names of the case's tensors, as in ``Trace``.
        public let tensors: [String]
    }

    /// The fixtures' folder.
    public let folder: String
    /// In the manifest's order.
    public let cases: [Case]
    /// What made the tensors: package names and their versions.
    public let versions: [String: String]
    /// SHA-256 of the checkpoint that they were made from.
    public let checkpointDigest: String
    private let file: SafetensorsFile

    private static let textKeys: KeyValuePairs<String, PreparedText.Purpose> = [
        "text": .caption, "masked_text": .masked, "question": .question,
    ]
    private static let manifestLimit = 64 << 20
    private static let tensorLimit = 2 << 30

    /// Reads a folder and checks the sums of its tensors.
    public init(folder: String) throws(FileError) {
        self.folder = folder
        let path = folder + "/manifest.json"
        let manifest = try ManifestReader(path: path, limit: GoldenSet.manifestLimit)
        let root = manifest.root
        guard root["format"]?.int == 1 else { throw manifest.error("format", "another format", "1") }
        checkpointDigest = try manifest.text(root, "checkpoint_sha256")
        versions = Dictionary(
            (root["versions"]?.members ?? []).map { ($0.key, $0.value.string ?? $0.value.text) }, uniquingKeysWith: { a, _ in a })
        guard let entries = root["cases"]?.array, !entries.isEmpty else {
            throw manifest.error("cases", "none", "a list of cases")
        }
        var cases: [Case] = []
        for (index, entry) in entries.enumerated() {
            let field = "cases[\(index)]"
            let texts = GoldenSet.textKeys.compactMap { key, purpose in entry[key]?.string.map { (text: $0, purpose: purpose) } }
            guard let text = texts.first, texts.count == 1 else {
                throw manifest.error(field, "\(texts.count) texts", GoldenSet.textKeys.map(\.key).joined(separator: " or "))
            }
            guard let tensors = entry["tensors"]?.strings, !tensors.isEmpty else {
                throw manifest.error(field + ".tensors", "none", "a list of tensor names")
            }
            cases.append(
                Case(
                    name: try manifest.text(entry, "name", in: field),
                    pictures: try manifest.pictures(entry, in: field, root: folder + "/.."), text: text.text, purpose: text.purpose,
                    tensors: tensors))
        }
        self.cases = cases
        let bundle = root["tensors"] ?? .null
        let name = try manifest.relativePath(bundle, "file", in: "tensors")
        let expected = try manifest.text(bundle, "sha256", in: "tensors")
        let compressed = try readFile(folder + "/" + name, limit: GoldenSet.tensorLimit)
        let sum = SHA256.hex(of: compressed)
        guard sum == expected else {
            throw .malformed(path: folder + "/" + name, field: "SHA-256", found: sum, expected: expected)
        }
        let content = try CompressedFile.decompress(compressed, path: folder + "/" + name, limit: GoldenSet.tensorLimit)
        file = try SafetensorsFile(content: content, path: folder + "/" + name)
    }

    /// A golden tensor, in the type that ``Trace`` gives it.
    public func tensor(_ name: String, of example: Case) throws(FileError) -> Trace.Tensor {
        let key = example.name + "/" + name
        guard let entry = file[key] else {
            throw .malformed(path: file.path, field: "tensor '\(key)'", found: "missing", expected: "a tensor that the manifest names")
        }
        let values: Trace.Tensor.Values
        switch entry.dtype {
        case .f32: values = .float32(try file.floats(key))
        case .i32: values = .int32(try file.integers(key).map { Int32(truncatingIfNeeded: $0) })
        case .u8: values = .uint8(try file.integers(key).map { UInt8(truncatingIfNeeded: $0) })
        default:
            throw .malformed(path: file.path, field: "type of '\(key)'", found: "\(entry.dtype)", expected: "F32, I32 or U8")
        }
        return Trace.Tensor(name: name, shape: entry.shape, values: values)
    }
}

/// Reads typed fields of a JSON document with errors that name the field.
struct ManifestReader {
    let path: String
    let root: JSONValue

    init(path: String, limit: Int) throws(FileError) {
        self.path = path
        root = try JSONValue(readingFile: path, limit: limit)
    }

    func error(_ field: String, _ found: String, _ expected: String) -> FileError {
        .malformed(path: path, field: field, found: found, expected: expected)
    }

    func text(_ value: JSONValue, _ key: String, in parent: String = "") throws(FileError) -> String {
        guard let text = value[key]?.string else {
            throw error(parent.isEmpty ? key : parent + "." + key, value[key]?.kindName ?? "nothing", "a string")
        }
        return text
    }

    /// A path that stays inside of its folder.
    func relativePath(_ value: JSONValue, _ key: String, in parent: String) throws(FileError) -> String {
        try relative(text(value, key, in: parent), parent + "." + key)
    }

    private func relative(_ path: String, _ field: String) throws(FileError) -> String {
        guard !path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
            throw error(field, "'\(singleLine(path))'", "a path inside of the fixtures")
        }
        return path
    }

    /// The picture of a case (`image`, `image_sha256`) or its two pictures (`images`, `images_sha256`).
    func pictures(_ entry: JSONValue, in parent: String, root: String) throws(FileError) -> [GoldenSet.PictureFile] {
        guard entry["images"] != nil else {
            let path = try relativePath(entry, "image", in: parent)
            return [GoldenSet.PictureFile(path: root + "/" + path, sum: try text(entry, "image_sha256", in: parent))]
        }
        func two(_ key: String) throws(FileError) -> [String] {
            guard let texts = entry[key]?.strings, texts.count == 2 else {
                throw error(parent + "." + key, entry[key]?.kindName ?? "nothing", "a list of two strings")
            }
            return texts
        }
        let (paths, sums) = (try two("images"), try two("images_sha256"))
        var result: [GoldenSet.PictureFile] = []
        for (path, sum) in zip(paths, sums) {
            result.append(GoldenSet.PictureFile(path: root + "/" + (try relative(path, parent + ".images")), sum: sum))
        }
        return result
    }
}
