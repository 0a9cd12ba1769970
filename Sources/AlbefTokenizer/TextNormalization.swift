/// What is done to a caption or a question before it is tokenized.
///
/// - Source: ALBEF `dataset/utils.py`, `pre_caption` and `pre_question`.
public enum TextNormalization {
    /// The word that stands for a masked one. Only `fill-mask` keeps it; elsewhere it is text like any other.
    public static let mask = "[MASK]"

    /// Stands for `[MASK]` inside: no character, so that no rule touches it.
    private static let maskMarker: UInt32 = 0x110000
    private static let maskCharacters = mask.unicodeScalars.map(\.value)

    private static let space: UInt32 = 0x20
    private static let newline: UInt32 = 0x0A
    private static let removed = ",.'!?\"()*#:;~".unicodeScalars.map(\.value)
    private static let spaced = "-/".unicodeScalars.map(\.value)
    private static let personTag = "<person>".unicodeScalars.map(\.value)

    /// Normalizes a caption: lower case, 13 characters removed, `-` and `/` to spaces, runs of whitespace to one
    /// space, ends stripped, and at most `maxWords` words kept.
    ///
    /// - Parameters:
    ///   - caption: Any text.
    ///   - maxWords: Words, split on single spaces, that are kept; at least 1.
    ///   - keepingMask: Lets every exact `[MASK]` pass unchanged.
    ///   - personRule: Replaces `<person>` by `person`, as all official datasets do; the stand-alone demo does not.
    /// - Returns: The text, empty if nothing is left, and whether words were cut.
    public static func caption(
        _ caption: String, maxWords: Int = 30, keepingMask: Bool = false, personRule: Bool = true
    ) -> (text: String, truncated: Bool) {
        precondition(maxWords >= 1)
        var characters = caption.unicodeScalars.map(\.value)
        if keepingMask { characters = replacing(maskCharacters, in: characters, by: [maskMarker]) }
        characters = lowercasedAndCleaned(characters)
        if personRule { characters = replacing(personTag, in: characters, by: Array(personTag[1..<7])) }
        characters = collapsingWhitespace(characters)
        while characters.last == newline { characters.removeLast() }
        let end = (characters.lastIndex { $0 != space } ?? -1) + 1
        let start = characters[..<end].firstIndex { $0 != space } ?? end
        return cut(characters[start..<end], maxWords: maxWords)
    }

    /// How often `[MASK]` stands in a text, exactly as written.
    public static func masks(in text: String) -> Int {
        replacing(maskCharacters, in: text.unicodeScalars.map(\.value), by: [maskMarker]).count { $0 == maskMarker }
    }

    /// Normalizes a question: lower case, 13 characters removed, `-` and `/` to spaces, spaces stripped on the right
    /// only. Runs of spaces stay, and an empty word between two spaces counts as a word.
    ///
    /// - Parameter maxWords: Words that are kept; 50 at test, 30 in training.
    /// - Returns: The text, empty if nothing is left, and whether words were cut.
    public static func question(_ question: String, maxWords: Int = 50) -> (text: String, truncated: Bool) {
        precondition(maxWords >= 1)
        let characters = lowercasedAndCleaned(question.unicodeScalars.map(\.value))
        let end = (characters.lastIndex { $0 != space } ?? -1) + 1
        return cut(characters[..<end], maxWords: maxWords)
    }

    /// A text in lower case by the tokenizer's own Unicode tables, so that it does not depend on the system's.
    public static func lowercased(_ text: String) -> String {
        string(Lowercase.text(text.unicodeScalars.map(\.value))[...])
    }

    private static func lowercasedAndCleaned(_ characters: [UInt32]) -> [UInt32] {
        var result = Lowercase.text(characters)
        result.removeAll(where: removed.contains)
        for index in result.indices where spaced.contains(result[index]) { result[index] = space }
        return result
    }

    /// Two or more whitespace characters become one space; a single one, of whatever kind, stays.
    private static func collapsingWhitespace(_ characters: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(characters.count)
        var run = 0
        for character in characters {
            if CharacterClass(of: character).contains(.whitespace) {
                run += 1
                if run == 1 { result.append(character) } else { result[result.count - 1] = space }
            } else {
                run = 0
                result.append(character)
            }
        }
        return result
    }

    /// Splits on single spaces, so that two spaces enclose an empty word, and keeps the first words.
    private static func cut(_ characters: ArraySlice<UInt32>, maxWords: Int) -> (text: String, truncated: Bool) {
        var spaces = 0
        for index in characters.indices where characters[index] == space {
            spaces += 1
            if spaces == maxWords { return (string(characters[..<index]), true) }
        }
        return (string(characters), false)
    }

    private static func replacing(_ pattern: [UInt32], in characters: [UInt32], by replacement: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(characters.count)
        var index = 0
        while index < characters.count {
            if characters[index] == pattern[0] && characters[index...].starts(with: pattern) {
                result.append(contentsOf: replacement)
                index += pattern.count
            } else {
                result.append(characters[index])
                index += 1
            }
        }
        return result
    }

    private static func string(_ characters: ArraySlice<UInt32>) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(characters.count)
        for character in characters {
            if character == maskMarker {
                bytes.append(contentsOf: mask.utf8)
            } else {
                appendUTF8(character, to: &bytes)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Appends the UTF-8 form of one Unicode scalar.
func appendUTF8(_ character: UInt32, to bytes: inout [UInt8]) {
    if character < 0x80 {
        bytes.append(UInt8(character))
        return
    }
    if character < 0x800 {
        bytes.append(UInt8(0xC0 | character >> 6))
    } else {
        if character < 0x10000 {
            bytes.append(UInt8(0xE0 | character >> 12))
        } else {
            bytes.append(UInt8(0xF0 | character >> 18))
            bytes.append(UInt8(0x80 | character >> 12 & 0x3F))
        }
        bytes.append(UInt8(0x80 | character >> 6 & 0x3F))
    }
    bytes.append(UInt8(0x80 | character & 0x3F))
}
