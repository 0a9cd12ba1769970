import AlbefFiles

/// The small sections of a mapped file, each read once, after its sum was compared.
struct SectionReader {
    private let path: String
    private let sections: [SectionEntry]
    /// Decoded bytes of every known section but the weights.
    private let contents: [SectionKind: [UInt8]]

    init(_ file: MappedFile, _ sections: [SectionEntry]) throws(ModelFileError) {
        var contents: [SectionKind: [UInt8]] = [:]
        for section in sections {
            guard let kind = section.kind, kind != .weights else { continue }
            guard let stored = file.copy(at: section.offset, count: section.storedSize),
                SHA256.digest(of: stored) == section.sum
            else { throw .wrongSum(path: file.path, part: "\(kind) section") }
            let decoded = section.isCompressed ? Compression.decompress(stored, size: section.size) : stored
            guard let decoded else {
                throw .malformed(
                    path: file.path, field: "\(kind) section", found: "something else",
                    expected: "one zstd frame of \(section.size) bytes")
            }
            contents[kind] = decoded
        }
        path = file.path
        self.sections = sections
        self.contents = contents
    }

    func has(_ kind: SectionKind) -> Bool { sections.contains { $0.kind == kind } }

    func entry(_ kind: SectionKind) throws(ModelFileError) -> SectionEntry {
        guard let section = sections.first(where: { $0.kind == kind }) else { throw missing(kind) }
        return section
    }

    /// The decoded bytes of a section.
    func content(_ kind: SectionKind) throws(ModelFileError) -> [UInt8] {
        guard let content = contents[kind] else { throw missing(kind) }
        return content
    }

    func lines(_ kind: SectionKind) throws(ModelFileError) -> [String] {
        guard let lines = Lines.decode(try content(kind)) else {
            throw malformed("\(kind) section", "something else", "lines of UTF-8")
        }
        return lines
    }

    func configuration() throws(ModelFileError) -> (ModelConfiguration, Precision, ModelTask) {
        let json = try json(.configuration)
        guard let precision = json["precision"]?.string.flatMap(Precision.init(rawValue:)) else {
            throw malformed("precision", json["precision"]?.text ?? "missing", "int8 or float32")
        }
        guard let task = json["task"]?.string.flatMap(ModelTask.init(rawValue:)) else {
            let known = ModelTask.allCases.map(\.rawValue).joined(separator: ", ")
            throw malformed("task", json["task"]?.text ?? "missing", "one of " + known)
        }
        do throws(ConfigurationError) {
            return (try ModelConfiguration(json: json["configuration"] ?? .null), precision, task)
        } catch {
            throw malformed("configuration: '\(error.key)'", error.found, error.expected)
        }
    }

    static func encodeConfiguration(_ configuration: ModelConfiguration, _ precision: Precision, _ task: ModelTask) -> [UInt8] {
        let json: JSONValue = [
            "task": .string(task.rawValue), "precision": .string(precision.rawValue), "configuration": configuration.json,
        ]
        return json.utf8
    }

    func provenance() throws(ModelFileError) -> Provenance {
        guard let provenance = Provenance(json: try json(.provenance)) else {
            throw malformed(
                "provenance section", "incomplete", "checkpoint_name, checkpoint_sha256 and exporter_version")
        }
        return provenance
    }

    /// See ``ModelFile/digest``.
    func contentDigest() throws(ModelFileError) -> String {
        var sum = SHA256()
        for section in sections {
            guard let kind = section.kind, kind != .provenance else { continue }
            var row: [UInt8] = []
            row.append(little: section.code)
            row.append(little: section.size)
            row += section.isCompressed ? SHA256.digest(of: try content(kind)) : section.sum
            sum.update(row)
        }
        return hexadecimal(sum.finalize())
    }

    private func json(_ kind: SectionKind) throws(ModelFileError) -> JSONValue {
        let bytes = try content(kind)
        do throws(JSONError) { return try JSONValue(parsing: bytes) } catch {
            throw malformed("\(kind) section at byte \(error.position)", error.found, error.expected)
        }
    }

    private func missing(_ kind: SectionKind) -> ModelFileError { malformed("\(kind) section", "missing", "to be there") }

    private func malformed(_ field: String, _ found: String, _ expected: String) -> ModelFileError {
        .malformed(path: path, field: field, found: found, expected: expected)
    }
}
