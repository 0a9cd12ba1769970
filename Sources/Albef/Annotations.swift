import AlbefFiles

/// A dataset in one of the official JSON forms: a list of records, told apart by their keys.
public enum Annotations: Sendable {
    /// A picture with its captions.
    public struct Captioned: Sendable {
        public let image: String
        public let captions: [String]
    }

    /// A question about a picture with the answers that people gave.
    public struct Asked: Sendable {
        public let image: String
        public let question: String
        public let questionID: JSONValue
        public let answers: [String]
        /// A group that accuracy is also given for; not part of the official form.
        public let kind: String?
    }

    /// An expression that names one object of a picture.
    public struct Referred: Sendable {
        public let image: String
        public let text: String
        /// x, y, width, height in pixels of the picture.
        public let box: [Double]
    }

    case retrieval([Captioned])
    case questions([Asked])
    case grounding([Referred])

    /// Reads a file; the first record tells the form, and all others must have it too.
    ///
    /// - Throws: ``FileError`` that names the file, the record and its field.
    public init(path: String) throws(FileError) {
        let reader = try ManifestReader(path: path, limit: 1 << 30)
        guard let records = reader.root.array, let first = records.first else {
            throw reader.error("content", reader.root.kindName, "a list of records, not empty")
        }
        if first["question"] != nil {
            var asked: [Asked] = []
            for (index, record) in records.enumerated() {
                let field = "record \(index)"
                let answers = record["answer"]?.strings ?? record["answer"]?.string.map { [$0] } ?? []
                asked.append(
                    Asked(
                        image: try reader.text(record, "image", in: field),
                        question: try reader.text(record, "question", in: field),
                        questionID: record["question_id"] ?? JSONValue(index), answers: answers,
                        kind: record["kind"]?.string))
            }
            self = .questions(asked)
        } else if first["caption"] != nil {
            var captioned: [Captioned] = []
            for (index, record) in records.enumerated() {
                let field = "record \(index)"
                let captions = record["caption"]?.strings ?? record["caption"]?.string.map { [$0] } ?? []
                if captions.isEmpty { throw reader.error(field + ".caption", "none", "a string or a list of strings") }
                captioned.append(Captioned(image: try reader.text(record, "image", in: field), captions: captions))
            }
            self = .retrieval(captioned)
        } else if first["text"] != nil {
            var referred: [Referred] = []
            for (index, record) in records.enumerated() {
                let field = "record \(index)"
                let box = record["bbox"]?.array?.compactMap(\.double) ?? []
                guard box.count == 4, box.allSatisfy({ $0.magnitude < 1e9 }) else {
                    throw reader.error(field + ".bbox", record["bbox"]?.kindName ?? "nothing", "[x, y, width, height]")
                }
                referred.append(
                    Referred(
                        image: try reader.text(record, "image", in: field),
                        text: try reader.text(record, "text", in: field), box: box))
            }
            self = .grounding(referred)
        } else {
            throw reader.error("record 0", "none of the known keys", "'question', 'caption' or 'text'")
        }
    }

    /// Number of records.
    public var count: Int {
        switch self {
        case .retrieval(let records): records.count
        case .questions(let records): records.count
        case .grounding(let records): records.count
        }
    }
}
