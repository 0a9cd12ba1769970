/// The tokenizer of `bert-base-uncased`, or of any vocabulary of its kind, as the Python program that ALBEF was
/// trained with has it: WordPiece after lower-casing and removal of accents, on Unicode 14.0.
///
/// For a single text the official code prepends `[CLS]` and appends nothing: there is no `[SEP]`.
///
/// - Cost: linear in the text for every text; words above 100 characters are unknown without being looked at.
/// - Source: ALBEF `models/tokenization_bert.py`; Hugging Face transformers 4.8 `BasicTokenizer`, `WordpieceTokenizer`.
public struct WordPieceTokenizer: Sendable {
    /// Ids of `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]`.
    public let padID, unknownID, classID, separatorID, maskID: Int32
    /// All tokens; an id is an index.
    public let vocabulary: [String]

    private static let specialTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    private static let longestWord = 100

    private let lookup: Vocabulary
    /// The special tokens as characters, with their ids.
    private let special: [(characters: [UInt32], id: Int32)]

    /// - Parameter vocabulary: Tokens in the order of their ids; pieces that continue a word begin with `##`. It must
    ///   hold the five special tokens.
    public init(vocabulary: [String]) throws(TokenizerError) {
        guard vocabulary.count <= Int(Int32.max) else { throw .tooManyTokens(vocabulary.count) }
        let lookup = Vocabulary(vocabulary)
        var special: [(characters: [UInt32], id: Int32)] = []
        for token in WordPieceTokenizer.specialTokens {
            guard let id = lookup.id(of: token) else { throw .missingToken(token) }
            special.append((token.unicodeScalars.map(\.value), id))
        }
        (padID, unknownID, classID, separatorID, maskID) =
            (special[0].id, special[1].id, special[2].id, special[3].id, special[4].id)
        self.vocabulary = vocabulary
        self.lookup = lookup
        self.special = special
    }

    /// The token of an id, or `[UNK]` for an id outside of the vocabulary.
    public func token(_ id: Int32) -> String {
        id >= 0 && Int(id) < vocabulary.count ? vocabulary[Int(id)] : WordPieceTokenizer.specialTokens[1]
    }

    /// The ids of a text, without `[CLS]`. The five special tokens, written literally, become their ids.
    public func pieces(_ text: String) -> [Int32] { pieces(text, limit: .max) }

    /// The ids of a text with `[CLS]` first.
    ///
    /// - Parameter maxTokens: The greatest number of ids, `[CLS]` included, at least 1; nil for no limit.
    /// - Returns: The ids, and whether some were cut at the end.
    public func encode(_ text: String, maxTokens: Int? = nil) -> (ids: [Int32], truncated: Bool) {
        let room = maxTokens.map { $0 - 1 } ?? .max
        precondition(room >= 0)
        // One piece too many tells that something is cut; the rest of a long text need not be looked at.
        let pieces = pieces(text, limit: room == .max ? .max : room + 1)
        return ([classID] + pieces.prefix(room), pieces.count > room)
    }

    /// The text of consecutive pieces of one word: `play`, `##ing` gives `playing`.
    public func word(for ids: some Sequence<Int32>) -> String {
        var word = ""
        for id in ids {
            let token = token(id)
            word += token.hasPrefix("##") ? String(token.dropFirst(2)) : token
        }
        return word
    }

    /// The words of encoded ids, each with the positions of its pieces. `[CLS]`, `[SEP]` and `[PAD]` belong to no word.
    public func words(in ids: [Int32]) -> [(word: String, pieces: Range<Int>)] {
        var ranges: [Range<Int>] = []
        for (position, id) in ids.enumerated() where id != classID && id != separatorID && id != padID {
            if let last = ranges.last, last.upperBound == position, token(id).hasPrefix("##") {
                ranges[ranges.count - 1] = last.lowerBound..<(position + 1)
            } else {
                ranges.append(position..<(position + 1))
            }
        }
        return ranges.map { (word(for: ids[$0]), $0) }
    }

    /// Splits special tokens out of the raw text and tokenizes what lies between them, until there are `limit` pieces.
    private func pieces(_ text: String, limit: Int) -> [Int32] {
        let characters = text.unicodeScalars.map(\.value)
        var ids: [Int32] = []
        var start = 0
        var index = 0
        while index < characters.count {
            if characters[index] == 0x5B,
                let match = special.first(where: { characters[index...].starts(with: $0.characters) })
            {
                appendPieces(of: characters[start..<index], to: &ids, limit: limit)
                ids.append(match.id)
                index += match.characters.count
                start = index
                if ids.count >= limit { break }
            } else {
                index += 1
            }
        }
        appendPieces(of: characters[start..<index], to: &ids, limit: limit)
        return ids.count > limit ? Array(ids.prefix(limit)) : ids
    }

    /// The basic tokenizer: cleans up, sets ideographs apart, splits on whitespace. Lower case is taken character by
    /// character, as the official program does before everything else: a capital sigma here never becomes a final one.
    private func appendPieces(of characters: ArraySlice<UInt32>, to ids: inout [Int32], limit: Int) {
        var token: [UInt32] = []
        var lowered: [UInt32] = []
        for character in characters {
            if ids.count >= limit { return }
            lowered.removeAll(keepingCapacity: true)
            Lowercase.append(character, to: &lowered)
            for character in lowered {
                let kind = CharacterClass(of: character)
                if kind.contains(.dropped) { continue }
                if kind.contains(.separator) {
                    appendWords(of: token, to: &ids, limit: limit)
                    token.removeAll(keepingCapacity: true)
                } else if kind.contains(.ideograph) {
                    appendWords(of: token, to: &ids, limit: limit)
                    appendWords(of: [character], to: &ids, limit: limit)
                    token.removeAll(keepingCapacity: true)
                } else {
                    token.append(character)
                }
            }
        }
        appendWords(of: token, to: &ids, limit: limit)
    }

    /// Strips accents and splits at punctuation.
    private func appendWords(of token: [UInt32], to ids: inout [Int32], limit: Int) {
        if token.isEmpty { return }
        var word: [UInt32] = []
        for character in Decomposition.text(token) {
            if ids.count >= limit { return }
            let kind = CharacterClass(of: character)
            if kind.contains(.nonspacing) { continue }
            if kind.contains(.punctuation) {
                appendWordPieces(of: word, to: &ids)
                appendWordPieces(of: [character], to: &ids)
                word.removeAll(keepingCapacity: true)
            } else {
                word.append(character)
            }
        }
        appendWordPieces(of: word, to: &ids)
    }

    /// WordPiece: the longest piece that matches, again and again; a word that cannot be covered is `[UNK]` as a whole.
    private func appendWordPieces(of characters: [UInt32], to ids: inout [Int32]) {
        if characters.isEmpty { return }
        guard characters.count <= WordPieceTokenizer.longestWord else { return ids.append(unknownID) }
        var word: [UInt8] = []
        word.reserveCapacity(characters.count * 2)
        for character in characters { appendUTF8(character, to: &word) }
        let first = ids.count
        var start = 0
        while start < word.count {
            guard let (id, end) = longestPiece(of: word, from: start) else {
                ids.removeSubrange(first...)
                return ids.append(unknownID)
            }
            ids.append(id)
            start = end
        }
    }

    /// The longest piece that begins at byte `start`. Pieces end where characters end: no token holds half a character.
    private func longestPiece(of word: [UInt8], from start: Int) -> (id: Int32, end: Int)? {
        let continuing = start > 0
        let limit = min(word.count, start + lookup.longestPiece)
        var hash = Vocabulary.seed(continuing: continuing)
        var best: (id: Int32, end: Int)?
        for end in (start + 1)...max(limit, start + 1) {
            hash.add(word[end - 1])
            if let id = lookup.id(of: word, start..<end, continuing: continuing, hash: hash) { best = (id, end) }
        }
        return best
    }
}

/// Why a vocabulary cannot be used.
public enum TokenizerError: Error, CustomStringConvertible, Equatable {
    /// A special token that is not in it.
    case missingToken(String)
    /// More tokens than ids can count.
    case tooManyTokens(Int)

    public var description: String {
        switch self {
        case .missingToken(let token): "the vocabulary lacks the token '\(token)'"
        case .tooManyTokens(let count): "the vocabulary has \(count) tokens; at most \(Int32.max) are possible"
        }
    }
}
