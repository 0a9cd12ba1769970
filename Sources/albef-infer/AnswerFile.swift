import AlbefFiles

/// Candidate answers from a JSON file: a list of strings.
func readAnswers(_ path: String) throws(FileError) -> [String] {
    let content = try JSONValue(readingFile: path, limit: 64 << 20)
    guard let list = content.strings, !list.isEmpty else {
        throw .malformed(
            path: path, field: "answers", found: content.kindName, expected: "a JSON list of strings, not empty")
    }
    return list
}
