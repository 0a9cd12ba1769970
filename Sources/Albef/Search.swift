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
    private let rerank: Int
    private var similarities: [Float] = []
    /// The best so far, best first, at most `rerank`.
    private var candidates: [(index: Int, image: EncodedImage)] = []

    /// - Parameters:
    ///   - rerank: How many candidates the matching head scores; 0 ranks by similarity alone.
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)``.
    public init(_ text: EncodedText, rerank: Int, session: Session) throws(AlbefError) {
        guard text.feature != nil else { throw session.model.missing(.contrastive) }
        if rerank > 0, session.model.matching == nil { throw session.model.missing(.matching) }
        self.session = session
        self.text = text
        self.rerank = max(0, rerank)
    }

    /// Adds the next picture; its index is the number of pictures before it.
    public mutating func add(_ image: EncodedImage) throws(AlbefError) {
        guard let feature = image.feature, let own = text.feature else { throw session.model.missing(.contrastive) }
        let similarity = try session.similarities(own, [feature])[0]
        let index = similarities.count
        similarities.append(similarity)
        // Behind all that are at least as similar: of equal ones the earlier stays in front.
        let place = candidates.firstIndex { similarities[$0.index] < similarity } ?? candidates.count
        if place >= rerank { return }
        candidates.insert((index, image), at: place)
        if candidates.count > rerank { candidates.removeLast() }
    }

    /// Scores the candidates and ranks all pictures, best first.
    public func ranking() throws(AlbefError) -> [Ranked] {
        var scores: [Int: Match] = [:]
        for candidate in candidates { scores[candidate.index] = try session.match(candidate.image, text) }
        return similarities.enumerated().map { index, similarity in
            Ranked(
                index: index, similarity: similarity, match: scores[index]?.match, itmLogit: scores[index]?.itmLogit)
        }.sorted(by: Ranked.isBefore)
    }
}

extension Session {
    /// Ranks captions for one picture in the same two stages.
    ///
    /// - Parameters:
    ///   - rerank: How many candidates the matching head scores; 0 ranks by similarity alone.
    /// - Returns: All captions, best first.
    public func rank(_ texts: [EncodedText], for image: EncodedImage, rerank: Int) throws(AlbefError) -> [Ranked] {
        let features = texts.compactMap(\.feature)
        guard let feature = image.feature, features.count == texts.count else { throw model.missing(.contrastive) }
        let similarities = try similarities(feature, features)
        let order = similarities.indices.sorted {
            (similarities[$0], $1) > (similarities[$1], $0)
        }
        let chosen = Array(order.prefix(max(0, rerank)))
        var scores: [Int: Match] = [:]
        if !chosen.isEmpty {
            for (index, match) in zip(chosen, try match(image, chosen.map { texts[$0] })) { scores[index] = match }
        }
        return similarities.enumerated().map { index, similarity in
            Ranked(
                index: index, similarity: similarity, match: scores[index]?.match, itmLogit: scores[index]?.itmLogit)
        }.sorted(by: Ranked.isBefore)
    }

    /// Ranks pictures for a picture by cosine of the features alone; the matching head compares only pictures with texts.
    public func rank(_ images: [[Float]], like feature: [Float]) throws(AlbefError) -> [Ranked] {
        try similarities(feature, images).enumerated().map { index, similarity in
            Ranked(index: index, similarity: similarity, match: nil, itmLogit: nil)
        }.sorted(by: Ranked.isBefore)
    }
}
