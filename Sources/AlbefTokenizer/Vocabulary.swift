/// Finds the id of a piece of a word: an open-addressing hash table over the UTF-8 bytes of all tokens.
///
/// A `Dictionary` of `String` keys would take longer to build than the rest of a process's start; this takes about a
/// millisecond for 30,522 tokens, and a lookup needs no `String`.
struct Vocabulary: Sendable {
    /// Marks a piece that continues a word.
    private static let continuation: [UInt8] = [0x23, 0x23]
    private static let empty: Int32 = -1

    /// All tokens, one after the other, and where each begins (and the end).
    private let bytes: [UInt8]
    private let offsets: [Int]
    /// Ids, or ``empty``; a power of two of slots, at most half of them full.
    private let slots: [Int32]
    /// Bytes of the longest token, without `##`: no longer piece can match.
    let longestPiece: Int

    /// - Parameter tokens: At most `Int32.max`. If a token occurs twice, the later id counts, as in a Python
    ///   dictionary.
    init(_ tokens: [String]) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(tokens.count * 8)
        var offsets = [0]
        offsets.reserveCapacity(tokens.count + 1)
        for token in tokens {
            bytes.append(contentsOf: token.utf8)
            offsets.append(bytes.count)
        }
        var slotCount = 16
        while slotCount < tokens.count * 2 { slotCount *= 2 }
        var slots = [Int32](repeating: Vocabulary.empty, count: slotCount)
        var longest = 0
        for id in 0..<tokens.count {
            let range = offsets[id]..<offsets[id + 1]
            longest = max(longest, range.count)
            var hash = PieceHash()
            for index in range { hash.add(bytes[index]) }
            var slot = hash.slot(of: slotCount)
            while slots[slot] != Vocabulary.empty {
                let other = Int(slots[slot])
                if bytes[offsets[other]..<offsets[other + 1]].elementsEqual(bytes[range]) { break }
                slot = (slot + 1) & (slotCount - 1)
            }
            slots[slot] = Int32(id)
        }
        self.bytes = bytes
        self.offsets = offsets
        self.slots = slots
        longestPiece = longest
    }

    /// The hash state before the first byte of a piece.
    static func seed(continuing: Bool) -> PieceHash {
        var hash = PieceHash()
        if continuing { for byte in continuation { hash.add(byte) } }
        return hash
    }

    /// The id of `word[range]` at the beginning of a word, or of `##` and those bytes within one.
    ///
    /// - Parameter hash: ``seed(continuing:)`` after the bytes of `range`.
    func id(of word: [UInt8], _ range: Range<Int>, continuing: Bool, hash: PieceHash) -> Int32? {
        let prefix = continuing ? Vocabulary.continuation.count : 0
        var slot = hash.slot(of: slots.count)
        while slots[slot] != Vocabulary.empty {
            let start = offsets[Int(slots[slot])]
            let end = offsets[Int(slots[slot]) + 1]
            if end - start == prefix + range.count
                && (!continuing || bytes[start..<(start + prefix)].elementsEqual(Vocabulary.continuation))
                && bytes[(start + prefix)..<end].elementsEqual(word[range])
            {
                return slots[slot]
            }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// The id of a whole token.
    func id(of token: String) -> Int32? {
        let word = Array(token.utf8)
        var hash = PieceHash()
        for byte in word { hash.add(byte) }
        return id(of: word, 0..<word.count, continuing: false, hash: hash)
    }
}

/// FNV-1a over bytes, extended one byte at a time, so that all prefixes of a word are hashed in one pass.
struct PieceHash {
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }

    /// A slot among `count`, a power of two.
    func slot(of count: Int) -> Int { Int(truncatingIfNeeded: state ^ state >> 32) & (count - 1) }
}
