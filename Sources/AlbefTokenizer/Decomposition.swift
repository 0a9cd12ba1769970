/// Canonical decomposition (NFD) of Unicode 14.0.
enum Decomposition {
    private enum Hangul {
        static let syllables: ClosedRange<UInt32> = 0xAC00...0xD7A3
        static let leading: UInt32 = 0x1100
        static let vowel: UInt32 = 0x1161
        static let trailing: UInt32 = 0x11A7
        static let vowels: UInt32 = 21
        static let trailings: UInt32 = 28
    }

    /// The canonical decomposition of a text, combining marks in canonical order. ASCII comes back as it is.
    static func text(_ characters: [UInt32]) -> [UInt32] {
        if characters.allSatisfy({ $0 < 128 }) { return characters }
        var result: [UInt32] = []
        result.reserveCapacity(characters.count + 8)
        for character in characters { append(character, to: &result) }
        order(&result)
        return result
    }

    private static func append(_ character: UInt32, to result: inout [UInt32]) {
        if character < 0xC0 {
            result.append(character)
        } else if Hangul.syllables.contains(character) {
            let index = character - Hangul.syllables.lowerBound
            result.append(Hangul.leading + index / (Hangul.vowels * Hangul.trailings))
            result.append(Hangul.vowel + index / Hangul.trailings % Hangul.vowels)
            let trailing = index % Hangul.trailings
            if trailing != 0 { result.append(Hangul.trailing + trailing) }
        } else {
            let index = runIndex(of: character, in: DecompositionTable.keys)
            guard DecompositionTable.keys[index] == character else { return result.append(character) }
            let first = Int(DecompositionTable.offsets[index])
            let end = Int(DecompositionTable.offsets[index + 1])
            result.append(contentsOf: DecompositionTable.values[first..<end])
        }
    }

    /// Sorts every run of combining marks by class, equal classes in their order. Sorting by (class, position) keeps a
    /// hostile run of a million marks at n log n.
    private static func order(_ characters: inout [UInt32]) {
        var index = 0
        while index < characters.count {
            guard combiningClass(characters[index]) != 0 else {
                index += 1
                continue
            }
            let start = index
            var keys: [UInt64] = []
            while index < characters.count {
                let own = combiningClass(characters[index])
                if own == 0 { break }
                keys.append(UInt64(own) << 56 | UInt64(index - start) << 24 | UInt64(characters[index]))
                index += 1
            }
            if keys.count == 1 { continue }
            keys.sort()
            for (position, key) in keys.enumerated() { characters[start + position] = UInt32(key & 0xFF_FFFF) }
        }
    }

    private static func combiningClass(_ character: UInt32) -> UInt8 {
        if character < 0x300 || character > 0x10FFFF { return 0 }
        return DecompositionTable.combiningClasses[runIndex(of: character, in: DecompositionTable.combiningStarts)]
    }
}
