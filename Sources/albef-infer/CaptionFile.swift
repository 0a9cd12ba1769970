import Albef
import AlbefFiles

/// Captions from a text file, one a line in UTF-8; lines of nothing but blanks are none.
struct CaptionFile {
    /// As they stand in the file.
    let texts: [String]
    /// Ready for the model.
    let prepared: [PreparedText]

    private static let limit = 64 << 20

    /// - Throws: ``FileError`` that names the line that is not UTF-8 or empty after normalisation.
    init(path: String, model: Model) throws {
        var texts: [String] = []
        var prepared: [PreparedText] = []
        let content = try readFile(path, limit: CaptionFile.limit)
        for (index, bytes) in content.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            if bytes.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }) { continue }
            let line = bytes.last == UInt8(ascii: "\r") ? bytes.dropLast() : bytes
            guard let text = String(validating: line, as: UTF8.self) else {
                throw CaptionFile.wrong(path, index, "not UTF-8")
            }
            texts.append(text)
            do throws(AlbefError) {
                prepared.append(try model.prepare(text, for: .retrieval))
            } catch {
                guard case .emptyText = error else { throw error }
                throw CaptionFile.wrong(path, index, "'\(singleLine(text, limit: 60))', which is empty after normalisation")
            }
        }
        guard !texts.isEmpty else {
            throw FileError.malformed(path: path, field: "list of captions", found: "empty", expected: "a caption a line")
        }
        self.texts = texts
        self.prepared = prepared
    }

    private static func wrong(_ path: String, _ index: Int, _ found: String) -> FileError {
        .malformed(path: path, field: "line \(index + 1)", found: found, expected: "a caption in UTF-8")
    }
}
