import AlbefImage
import AlbefTokenizer

/// A picture at the model's size: 8-bit RGB, `size · size · 3` bytes, row after row. From here on results are exact on
/// every machine.
public struct PreparedImage: Sendable {
    /// The bytes.
    public let pixels: [UInt8]

    /// Takes pixels that were resized before, for example those of a golden fixture.
    ///
    /// - Throws: ``AlbefError/pixelCount(found:expected:)`` if they are not `[size, size, 3]` for the model.
    public init(pixels: [UInt8], for model: Model) throws(AlbefError) {
        let size = model.configuration.imageSize
        guard pixels.count == 3 * size * size else {
            throw .pixelCount(found: pixels.count, expected: 3 * size * size)
        }
        self.pixels = pixels
    }
}

/// A text after normalisation and tokenisation.
public struct PreparedText: Sendable {
    /// What the text is for, which decides where it is cut.
    public enum Purpose: Sendable {
        /// A caption of `match`, `search`, `embed` and retrieval evaluation: at most 30 tokens, `[CLS]` included.
        case retrieval
        /// Any other caption: no limit of tokens below the position table.
        case caption
        /// A caption in which every exact `[MASK]` stands for a word to be found; cut as ``caption``.
        case masked
        /// A question: 50 words, no limit of tokens below the position table.
        case question
    }

    /// The normalised text.
    public let text: String
    /// Token ids, `[CLS]` first, no `[SEP]`.
    public let ids: [Int32]
    /// True when words or tokens were cut off.
    public let truncated: Bool
}

extension PreparedText.Purpose {
    /// Tokens kept for retrieval, `[CLS]` included.
    static let retrievalTokens = 30
    /// Words kept of a question.
    static let questionWords = 50
}

extension Model {
    /// Normalises a caption or question as the official code does, tokenises it and cuts it where its purpose says, always
    /// within the position table.
    ///
    /// - Throws: ``AlbefError/emptyText(original:)`` if nothing is left. For a masked caption ``AlbefError/noMask(original:)``
    ///   if it has none, and ``AlbefError/lostMask(original:found:kept:)`` if one was cut off.
    public func prepare(_ text: String, for purpose: PreparedText.Purpose) throws(AlbefError) -> PreparedText {
        let normalized =
            switch purpose {
            case .question: TextNormalization.question(text, maxWords: PreparedText.Purpose.questionWords)
            case .retrieval, .caption: TextNormalization.caption(text, maxWords: configuration.maxWords)
            case .masked: TextNormalization.caption(text, maxWords: configuration.maxWords, keepingMask: true)
            }
        let positions = configuration.maxPositions
        let limit =
            switch purpose {
            case .retrieval: min(PreparedText.Purpose.retrievalTokens, positions)
            case .caption, .masked, .question: positions
            }
        let tokens = tokenizer.encode(normalized.text, maxTokens: limit)
        if purpose == .masked {
            let found = TextNormalization.masks(in: text), kept = tokens.ids.count { $0 == tokenizer.maskID }
            if found == 0 { throw .noMask(original: text) }
            if kept < found { throw .lostMask(original: text, found: found, kept: kept) }
        }
        guard tokens.ids.count > 1 else { throw .emptyText(original: text) }
        return PreparedText(
            text: normalized.text, ids: tokens.ids, truncated: normalized.truncated || tokens.truncated)
    }

    /// Tokenises candidate answers.
    ///
    /// - Parameter answers: nil for the list in the model file.
    /// - Throws: ``AlbefError/noAnswers(path:)``, or ``AlbefError/longAnswer(_:tokens:limit:)`` for an answer longer than
    ///   the position table.
    public func answerList(_ answers: [String]? = nil) throws(AlbefError) -> AnswerList {
        guard let answers = answers ?? file.answers, !answers.isEmpty else { throw .noAnswers(path: file.path) }
        var ids: [[Int32]] = []
        ids.reserveCapacity(answers.count)
        for answer in answers {
            let tokens = tokenizer.encode(answer + "[SEP]", maxTokens: nil).ids
            guard tokens.count <= configuration.maxPositions else {
                throw .longAnswer(answer, tokens: tokens.count, limit: configuration.maxPositions)
            }
            ids.append(tokens)
        }
        return AnswerList(answers: answers, ids: ids)
    }
}

/// Candidate answers and their tokens.
public struct AnswerList: Sendable {
    /// The answers as given; they are not normalised.
    public let answers: [String]
    /// For each: `[CLS]`, its pieces, `[SEP]`.
    let ids: [[Int32]]
    /// The place of each in the lexicographic order of their tokens.
    let ranks: [Int]

    init(answers: [String], ids: [[Int32]]) {
        self.answers = answers
        self.ids = ids
        var ranks = [Int](repeating: 0, count: ids.count)
        let order = ids.indices.sorted { ids[$0].lexicographicallyPrecedes(ids[$1]) }
        for (rank, index) in order.enumerated() { ranks[index] = rank }
        self.ranks = ranks
    }

    /// Tokens of the longest one.
    var longest: Int { ids.lazy.map(\.count).max() ?? 0 }
}
