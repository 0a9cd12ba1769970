import AlbefFiles

/// The vocabulary and the answers of a model, from a file that the user names or from the checkpoint's metadata.
enum TextAssets {
    /// Metadata keys of a safetensors checkpoint.
    static let vocabularyKey = "albef.vocabulary"
    static let answersKey = "albef.answers"
    /// Files larger than this are refused. BERT's vocabulary has 232 kB, the official answers 60 kB.
    static let maximumFile = 64 << 20

    private static let specialTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

    /// A WordPiece vocabulary: token `i` is the word of embedding row `i`.
    ///
    /// - Parameters:
    ///   - path: A text file with a token a line, as BERT's `vocab.txt`; nil to take the metadata's JSON list.
    ///   - size: Rows of the word embeddings.
    static func vocabulary(path: String?, checkpoint: any Checkpoint, size: Int) throws(ExportError) -> [String] {
        let source: String
        let tokens: [String]
        if let path {
            source = path
            tokens = try lines(of: path)
        } else if let text = checkpoint.metadata[vocabularyKey] {
            source = "\(checkpoint.path), metadata '\(vocabularyKey)'"
            tokens = try strings(text, source) { .vocabulary(source: source, reason: $0) }
        } else {
            throw .missingVocabulary(path: checkpoint.path)
        }
        guard tokens.count == size else {
            throw .vocabulary(
                source: source, reason: "\(tokens.count) tokens, but the word embeddings of \(checkpoint.path) have \(size) rows")
        }
        var seen: [String: Int] = [:]
        for (number, token) in tokens.enumerated() {
            // Compared as bytes: two spellings of one accented letter are two tokens.
            let key = token.utf8.map { String($0, radix: 16) }.joined(separator: ",")
            if let first = seen.updateValue(number, forKey: key) {
                throw .vocabulary(source: source, reason: "token '\(token)' stands at \(first) and at \(number)")
            }
        }
        if let absent = specialTokens.first(where: { !tokens.contains($0) }) {
            throw .vocabulary(source: source, reason: "token '\(absent)' is missing")
        }
        return tokens
    }

    /// The answers that a model chooses from, in the order of the official list; nil if it has no answer decoder.
    static func answers(path: String?, checkpoint: any Checkpoint, heads: Set<ModelHead>) throws(ExportError) -> [String]? {
        guard heads.contains(.answering) else {
            guard let path else { return nil }
            throw .answers(source: path, reason: "\(checkpoint.path) has no answer decoder to use them")
        }
        let source: String
        let answers: [String]
        if let path {
            source = path
            let bytes = try fileOperation { () throws(FileError) in try readFile(path, limit: maximumFile) }
            answers = try strings(String(decoding: bytes, as: UTF8.self), path) { .answers(source: path, reason: $0) }
        } else if let text = checkpoint.metadata[answersKey] {
            source = "\(checkpoint.path), metadata '\(answersKey)'"
            answers = try strings(text, source) { .answers(source: source, reason: $0) }
        } else {
            throw .missingAnswers(path: checkpoint.path)
        }
        guard !answers.isEmpty else { throw .answers(source: source, reason: "the list is empty") }
        return answers
    }

    private static func lines(of path: String) throws(ExportError) -> [String] {
        let bytes = try fileOperation { () throws(FileError) in try readFile(path, limit: maximumFile) }
        var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        var result: [String] = []
        for line in lines {
            let trimmed = line.last == 0x0D ? line.dropLast() : line
            guard let text = String(validating: trimmed, as: UTF8.self) else {
                throw .vocabulary(source: path, reason: "line \(result.count + 1) is not UTF-8")
            }
            result.append(text)
        }
        return result
    }

    private static func strings(
        _ text: String, _ source: String, _ refuse: (String) -> ExportError
    ) throws(ExportError) -> [String] {
        let value: JSONValue
        do { value = try JSONValue(parsing: text) } catch { throw refuse(error.description) }
        guard let strings = value.strings else { throw refuse("\(value.kindName), expected a list of strings") }
        return strings
    }
}
