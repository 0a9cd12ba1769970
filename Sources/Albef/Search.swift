/// A candidate of a search and its scores.
public struct Ranked: Sendable, Equatable {
    /// The candidate's place in the order in which it was given.
    public let index: Int
    /// Cosine of the features.
    public let similarity: Float
    /// Match probability; nil for candidates that were not scored by the matching head.
    public let match: Float?
    /// Match logit; nil for candidates that were not scored by the matching head.
    public let itmLogit: Float?
}

extension Ranked {
    /// Best first: the scored ones by match logit, then the rest by similarity; ties by similarity, then by index.
    static func isBefore(_ a: Ranked, _ b: Ranked) -> Bool {
        switch (a.itmLogit, b.itmLogit) {
        case (.some, .none): return true
        case (.none, .some): return false
        case (.some(let x), .some(let y)) where x != y: return x > y
        default: return a.similarity > b.similarity || (a.similarity == b.similarity && a.index < b.index)
        }
    }
}

/// Ranks pictures for one caption in two stages: by cosine of the features, then the best of them by the matching head.
///
/// Pictures are added one after another; only the tokens of those that may still be scored by the matching head are kept, so
/// memory is bounded by `rerank` pictures.
public struct PictureSearch {
    /// How many candidates the matching head scores where nobody says: `k_test` of the published Flickr30K evaluation.
    public static let defaultRerank = 128

    private let session: Session
    private let text: EncodedText
    private var shortlist: Shortlist<EncodedImage?>

    /// - Parameters:
    ///   - rerank: How many candidates the matching head scores; 0 ranks by similarity alone.
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)``.
    public init(_ text: EncodedText, rerank: Int, session: Session) throws(AlbefError) {
        guard text.feature != nil else { throw session.model.missing(.contrastive) }
        if rerank > 0, session.model.matching == nil { throw session.model.missing(.matching) }
        self.session = session
        self.text = text
        shortlist = Shortlist(limit: rerank)
    }

    /// Adds the next picture; its index is the number of pictures before it.
    public mutating func add(_ image: EncodedImage) throws(AlbefError) {
        guard let feature = image.feature else { throw session.model.missing(.contrastive) }
        try add(feature, image)
    }

    /// Adds the next picture by its feature. Should it be scored by the matching head, ``ranking(encoding:)`` asks for the rest.
    public mutating func add(feature: [Float]) throws(AlbefError) { try add(feature, nil) }

    private mutating func add(_ feature: [Float], _ image: EncodedImage?) throws(AlbefError) {
        guard let own = text.feature else { throw session.model.missing(.contrastive) }
        shortlist.add(image, similarity: try session.similarities(own, [feature])[0])
    }

    /// Scores the candidates and ranks all pictures, best first.
    ///
    /// - Parameter encode: Gives the picture of an index that was added by its feature alone.
    public func ranking(encoding encode: (Int) throws -> EncodedImage) throws -> [Ranked] {
        var matches: [Match] = []
        for start in stride(from: 0, to: shortlist.best.count, by: ForwardPass.picturesTogether) {
            let some = shortlist.best[start..<min(start + ForwardPass.picturesTogether, shortlist.best.count)]
            matches += try session.match(some.map { try $0.element ?? encode($0.index) }, text)
        }
        return shortlist.ranking(matches)
    }
}

/// The candidates of a search by their similarity; of those that the matching head is to score, the best so far, what it
/// reads of them is kept.
private struct Shortlist<Element> {
    private let limit: Int
    private var similarities: [Float] = []
    /// Best first, at most `limit`.
    private(set) var best: [(index: Int, element: Element)] = []

    init(limit: Int) { self.limit = max(0, limit) }

    /// Adds the next candidate; its index is the number of candidates before it.
    mutating func add(_ element: Element, similarity: Float) {
        let index = similarities.count
        similarities.append(similarity)
        // Behind all that are at least as similar: of equal ones the earlier stays in front.
        let place = best.firstIndex { similarities[$0.index] < similarity } ?? best.count
        if place >= limit { return }
        best.insert((index, element), at: place)
        if best.count > limit { best.removeLast() }
    }

    /// All candidates, best first.
    ///
    /// - Parameter matches: Of the best, in their order.
    func ranking(_ matches: [Match]) -> [Ranked] {
        let scores = Dictionary(zip(best.map(\.index), matches), uniquingKeysWith: { first, _ in first })
        return similarities.enumerated().map { index, similarity in
            Ranked(
                index: index, similarity: similarity, match: scores[index]?.match, itmLogit: scores[index]?.itmLogit)
        }.sorted(by: Ranked.isBefore)
    }
}

extension Session {
    /// Captions that are encoded together in a search: their tokens are in memory at one time.
    private static let searchedTogether = 64

    /// Ranks captions for one picture in the same two stages; only the tokens of those that may still be scored by the
    /// matching head are kept.
    ///
    /// - Parameters:
    ///   - texts: Prepared for ``PreparedText/Purpose-swift.enum/retrieval``.
    ///   - rerank: How many candidates the matching head scores; 0 ranks by similarity alone.
    /// - Returns: All captions, best first.
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)``, ``AlbefError/nonFinite(stage:)``.
    public func rank(_ texts: [PreparedText], for image: EncodedImage, rerank: Int) throws(AlbefError) -> [Ranked] {
        guard let feature = image.feature else { throw model.missing(.contrastive) }
        if rerank > 0, model.matching == nil { throw model.missing(.matching) }
        var shortlist = Shortlist<EncodedText>(limit: rerank)
        for start in stride(from: 0, to: texts.count, by: Session.searchedTogether) {
            let encoded = try encode(Array(texts[start..<min(start + Session.searchedTogether, texts.count)]))
            let similarities = try similarities(feature, encoded.compactMap(\.feature))
            for (text, similarity) in zip(encoded, similarities) { shortlist.add(text, similarity: similarity) }
        }
        return try shortlist.ranking(shortlist.best.isEmpty ? [] : match(image, shortlist.best.map(\.element)))
    }

    /// Ranks pictures for a picture by cosine of the features alone; the matching head compares only pictures with texts.
    public func rank(_ images: [[Float]], like feature: [Float]) throws(AlbefError) -> [Ranked] {
        try similarities(feature, images).enumerated().map { index, similarity in
            Ranked(index: index, similarity: similarity, match: nil, itmLogit: nil)
        }.sorted(by: Ranked.isBefore)
    }
}
