/// What the tokenizer and the normalisation ask about a character: bits from the generated Unicode 14.0 table.
///
/// Characters are Unicode code points as `UInt32`. A value above U+10FFFF (the stand-in for `[MASK]`) is in no class.
struct CharacterClass: OptionSet {
    let rawValue: UInt8

    /// Removed by BERT's clean-up: U+0000, U+FFFD and category C*, but not tab, newline and carriage return.
    static let dropped = CharacterClass(rawValue: 1)
    /// Separates tokens: category Zs, tab, newline, carriage return, and the line and paragraph separators.
    static let separator = CharacterClass(rawValue: 2)
    /// A token of its own: ASCII 33–47, 58–64, 91–96, 123–126 and category P*.
    static let punctuation = CharacterClass(rawValue: 4)
    /// Category Mn, removed after decomposition.
    static let nonspacing = CharacterClass(rawValue: 8)
    /// Python's `str.isspace`, which is also `\s` of its regular expressions.
    static let whitespace = CharacterClass(rawValue: 16)
    /// Cased and not Case_Ignorable.
    static let cased = CharacterClass(rawValue: 32)
    /// Case_Ignorable.
    static let ignorable = CharacterClass(rawValue: 64)
    /// A CJK ideograph, which becomes a word of its own.
    static let ideograph = CharacterClass(rawValue: 128)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The class of one code point.
    init(of character: UInt32) {
        if character < 128 {
            rawValue = ClassTable.ascii[Int(character)]
        } else if character <= 0x10FFFF {
            rawValue = ClassTable.classes[runIndex(of: character, in: ClassTable.starts)]
        } else {
            rawValue = 0
        }
    }
}

/// The last position whose start is at most `character`; `starts` ascends from 0.
func runIndex(of character: UInt32, in starts: [UInt32]) -> Int {
    var low = 0
    var high = starts.count
    while high - low > 1 {
        let middle = (low + high) / 2
        if starts[middle] <= character { low = middle } else { high = middle }
    }
    return low
}

/// Lower case as Python's `str.lower` has it.
enum Lowercase {
    private static let capitalSigma: UInt32 = 0x3A3
    private static let smallSigma: UInt32 = 0x3C3
    private static let finalSigma: UInt32 = 0x3C2
    private static let capitalDottedI: UInt32 = 0x130
    private static let dotAbove: UInt32 = 0x307

    /// Appends the lower case of one character seen alone: a sigma is never final.
    static func append(_ character: UInt32, to result: inout [UInt32]) {
        if character == capitalDottedI {
            result.append(0x69)
            result.append(dotAbove)
        } else {
            result.append(single(character))
        }
    }

    /// The lower case of a text: full mapping, and a capital sigma at the end of a word becomes a final one.
    static func text(_ characters: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(characters.count)
        for (index, character) in characters.enumerated() {
            if character == capitalSigma {
                result.append(isFinal(index, in: characters) ? finalSigma : smallSigma)
            } else {
                append(character, to: &result)
            }
        }
        return result
    }

    private static func single(_ character: UInt32) -> UInt32 {
        if character < 128 { return character >= 0x41 && character <= 0x5A ? character + 0x20 : character }
        let index = runIndex(of: character, in: LowercaseTable.first)
        let first = LowercaseTable.first[index]
        guard character >= first && character <= LowercaseTable.last[index],
            (character - first) % UInt32(LowercaseTable.step[index]) == 0
        else { return character }
        return UInt32(Int32(character) + LowercaseTable.distance[index])
    }

    /// True if a cased letter stands before position `index` and none behind it, ignorable characters skipped. A sigma
    /// is itself cased, so that the ways of two sigmas do not overlap and a whole text costs linear time.
    private static func isFinal(_ index: Int, in characters: [UInt32]) -> Bool {
        var before = index - 1
        while before >= 0 && CharacterClass(of: characters[before]).contains(.ignorable) { before -= 1 }
        guard before >= 0, CharacterClass(of: characters[before]).contains(.cased) else { return false }
        var behind = index + 1
        while behind < characters.count && CharacterClass(of: characters[behind]).contains(.ignorable) { behind += 1 }
        return behind == characters.count || !CharacterClass(of: characters[behind]).contains(.cased)
    }
}
