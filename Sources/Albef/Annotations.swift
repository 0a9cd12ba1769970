import AlbefFiles
import AlbefTokenizer

/// A dataset in one of the official JSON forms: a list of records, told apart by their keys.
public enum Annotations: Sendable {
    /// A picture with its captions.
    public struct Captioned: Sendable {
        public let image: String
        /// At least one.
        public let captions: [String]
    }

    /// A question about a picture with the answers that people gave.
    public struct Asked: Sendable {
        public let image: String
        public let question: String
        /// A whole number or a text, as it goes into the results.
        public let questionID: JSONValue
        /// Empty where the record has no `answer`, as in the official test split.
        public let answers: [String]
        /// A group that accuracy is also given for; not part of the official form.
        public let kind: String?
    }

    /// An expression that names one object of a picture.
    public struct Referred: Sendable {
        public let image: String
        public let text: String
        /// `ref_id`: a whole number or a text, as it goes into the results; null where the record has none.
        public let reference: JSONValue
        /// x, y, width, height in pixels of the picture, the last two above 0.
        public let box: [Double]
    }

    /// A sentence that a picture entails, contradicts or leaves open.
    public struct Entailed: Sendable {
        /// With the ending `.jpg` where the record has a bare id.
        public let image: String
        public let sentence: String
        /// One of ``Head/classes`` of ``Head/entailment``.
        public let label: String
        /// A group that accuracy is also given for; not part of the official form.
        public let kind: String?
    }

    /// A sentence that is true of two pictures or not.
    public struct Compared: Sendable {
        public let left: String
        public let right: String
        public let sentence: String
        public let isTrue: Bool
        /// A group that accuracy is also given for; not part of the official form.
        public let kind: String?
    }

    case retrieval([Captioned])
    case questions([Asked])
    case grounding([Referred])
    case entailment([Entailed])
    case reasoning([Compared])

    /// Reads a file; the first record tells the form, and all others must have it too.
    ///
    /// - Throws: ``FileError`` that names the file, the record (counted from 0) and its field.
    public init(path: String) throws(FileError) {
        let reader = try ManifestReader(path: path, limit: 1 << 30)
        guard let list = reader.root.array, let first = list.first else {
            throw reader.error("content", reader.root.kindName, "a list of records, not empty")
        }
        let records = list.enumerated().map { Record(reader: reader, value: $1, name: "record \($0)") }
        if first["question"] != nil {
            self = .questions(try records.map { record throws(FileError) in try Asked(record) })
        } else if first["caption"] != nil {
            self = .retrieval(try records.map { record throws(FileError) in try Captioned(record) })
        } else if first["images"] != nil {
            self = .reasoning(try records.map { record throws(FileError) in try Compared(record) })
        } else if first["sentence"] != nil {
            self = .entailment(try records.map { record throws(FileError) in try Entailed(record) })
        } else if first["text"] != nil {
            self = .grounding(try records.map { record throws(FileError) in try Referred(record) })
        } else {
            throw reader.error("record 0", "none of the known keys", "'question', 'caption', 'sentence' or 'text'")
        }
    }

    /// Number of records.
    public var count: Int {
        switch self {
        case .retrieval(let records): records.count
        case .questions(let records): records.count
        case .grounding(let records): records.count
        case .entailment(let records): records.count
        case .reasoning(let records): records.count
        }
    }
}

extension Annotations.Captioned {
    fileprivate init(_ record: Record) throws(FileError) {
        image = try record.text("image")
        captions = try record.texts("caption") ?? []
        if captions.isEmpty { throw record.error("caption", "a string or a list of strings, not empty") }
        for (index, caption) in captions.enumerated() where TextNormalization.caption(caption).text.isEmpty {
            throw record.emptyText("caption", at: index)
        }
    }
}

extension Annotations.Asked {
    fileprivate init(_ record: Record) throws(FileError) {
        image = try record.text("image")
        question = try record.text("question")
        if TextNormalization.question(question).text.isEmpty { throw record.emptyText("question") }
        guard let id = record.identity("question_id") else {
            throw record.error("question_id", "a whole number or a string")
        }
        questionID = id
        answers = try record.texts("answer") ?? []
        kind = try record.kind()
    }
}

extension Annotations.Referred {
    fileprivate init(_ record: Record) throws(FileError) {
        image = try record.text("image")
        text = try record.text("text")
        if TextNormalization.caption(text).text.isEmpty { throw record.emptyText("text") }
        reference = record.identity("ref_id") ?? .null
        if reference == .null, record.value["ref_id"] != nil {
            throw record.error("ref_id", "a whole number or a string")
        }
        let numbers = record.value["bbox"]?.array?.map(\.double) ?? []
        box = numbers.compactMap { $0 }
        guard numbers.count == 4, box.count == 4, box.allSatisfy({ $0.magnitude < 1e9 }), box[2] > 0, box[3] > 0 else {
            throw record.error("bbox", "[x, y, width, height] with an extent above 0")
        }
    }
}

extension Annotations.Entailed {
    /// Endings of picture files; the official file has ids without one, of pictures `ID.jpg`.
    private static let endings = [".jpg", ".jpeg", ".png"]

    fileprivate init(_ record: Record) throws(FileError) {
        let name = try record.text("image")
        let hasEnding = Self.endings.contains { name.lowercased().hasSuffix($0) }
        image = hasEnding ? name : name + ".jpg"
        sentence = try record.sentence()
        label = try record.choice("label", of: Head.entailment.classes)
        kind = try record.kind()
    }
}

extension Annotations.Compared {
    fileprivate init(_ record: Record) throws(FileError) {
        guard let images = record.value["images"]?.strings, images.count == 2 else {
            throw record.error("images", "a list of two strings")
        }
        (left, right) = (images[0], images[1])
        sentence = try record.sentence()
        isTrue = try record.choice("label", of: ["False", "True"]) == "True"
        kind = try record.kind()
    }
}

/// One record of a list, and how its errors name it.
private struct Record {
    let reader: ManifestReader
    let value: JSONValue
    let name: String

    func error(_ key: String, _ expected: String) -> FileError {
        reader.error(name + "." + key, value[key]?.kindName ?? "nothing", expected)
    }

    /// For a text of which normalisation leaves nothing.
    func emptyText(_ key: String, at index: Int? = nil) -> FileError {
        reader.error(
            name + "." + key + (index.map { "[\($0)]" } ?? ""), "a text that is empty after normalisation",
            "at least one letter or digit")
    }

    func text(_ key: String) throws(FileError) -> String { try reader.text(value, key, in: name) }

    /// The text of an entailment or NLVR2 record.
    func sentence() throws(FileError) -> String {
        let sentence = try text("sentence")
        if TextNormalization.caption(sentence).text.isEmpty { throw emptyText("sentence") }
        return sentence
    }

    /// The optional group of a record.
    func kind() throws(FileError) -> String? { value["kind"] == nil ? nil : try text("kind") }

    /// One of a few strings.
    func choice(_ key: String, of choices: [String]) throws(FileError) -> String {
        let found = try text(key)
        guard choices.contains(found) else {
            let expected = choices.map { "'\($0)'" }.joined(separator: ", ")
            throw reader.error(name + "." + key, "'\(singleLine(found, limit: 60))'", "one of \(expected)")
        }
        return found
    }

    /// A string, or a list of strings that is not empty; nil where there is no such key.
    func texts(_ key: String) throws(FileError) -> [String]? {
        guard let found = value[key] else { return nil }
        if let text = found.string { return [text] }
        guard let texts = found.strings, !texts.isEmpty else {
            throw error(key, "a string or a list of strings, not empty")
        }
        return texts
    }

    /// A whole number or a string; none where there is neither. (A plain `nil` would be JSON's null.)
    func identity(_ key: String) -> JSONValue? {
        guard let found = value[key], found.int != nil || found.string != nil else { return Optional.none }
        return found
    }
}
