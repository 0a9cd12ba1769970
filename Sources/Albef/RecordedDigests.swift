import AlbefFiles

/// SHA-256 sums of this runtime's own tensors, recorded once with the scalar kernels and equal on every machine since.
///
/// They belong to a model's digest and an arithmetic revision; those of other models are kept as they are.
public struct RecordedDigests: Sendable {
    /// By model digest, then revision, then `case/tensor`.
    private var sums: [String: [String: [String: String]]] = [:]

    public init() {}

    /// Reads a file; without one, nothing is recorded.
    public init(path: String) throws(FileError) {
        let root: JSONValue
        do {
            root = try JSONValue(readingFile: path, limit: 256 << 20)
        } catch FileError.missing {
            return
        } catch { throw error }
        for model in root.members ?? [] {
            for revision in model.value.members ?? [] {
                for entry in revision.value.members ?? [] {
                    guard let sum = entry.value.string else {
                        throw .malformed(
                            path: path, field: "'\(singleLine(entry.key))'", found: entry.value.kindName, expected: "a string")
                    }
                    sums[model.key, default: [:]][revision.key, default: [:]][entry.key] = sum
                }
            }
        }
    }

    /// The recorded sum of a tensor; nil if there is none for this model and the runtime's revision.
    public func sum(_ key: String, model: String) -> String? { sums[model]?[String(Arithmetic.revision)]?[key] }

    /// Replaces everything recorded for a model and the runtime's revision.
    public mutating func record(_ new: [String: String], model: String) {
        sums[model, default: [:]][String(Arithmetic.revision)] = new
    }

    /// Writes the file with sorted keys.
    public func write(to path: String) throws(FileError) {
        func sorted<Value>(_ table: [String: Value], _ json: (Value) -> JSONValue) -> JSONValue {
            .object(table.keys.sorted().map { key in JSONMember(key, table[key].map(json) ?? .null) })
        }
        let root = sorted(sums) { sorted($0) { sorted($0) { .string($0) } } }
        try writeAtomically(root.utf8 + [0x0A], to: path)
    }
}
