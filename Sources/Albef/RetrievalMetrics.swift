/// Recall of image-text retrieval, both ways.
///
/// Source: ALBEF's evaluation: the rank of an image is the best rank among its own captions; the rank of a caption is that
/// of its image; recall at k is the share of ranks below k, in percent.
public struct RetrievalMetrics: Sendable, Equatable {
    /// Image-to-text recall at 1, 5 and 10, in percent.
    public let textRecall: [Double]
    /// Text-to-image recall at 1, 5 and 10, in percent.
    public let imageRecall: [Double]

    /// The ranks at which recall is reported.
    public static let ranks = [1, 5, 10]

    /// - Parameters:
    ///   - imageRanks: For each image, the rank (from 0) of the best of its captions.
    ///   - textRanks: For each caption, the rank (from 0) of its image.
    public init(imageRanks: [Int], textRanks: [Int]) {
        textRecall = RetrievalMetrics.recall(imageRanks)
        imageRecall = RetrievalMetrics.recall(textRanks)
    }

    /// The mean of both directions' means.
    public var mean: Double { (textMean + imageMean) / 2 }

    /// The mean of image-to-text recall at 1, 5 and 10.
    public var textMean: Double { textRecall.reduce(0, +) / Double(textRecall.count) }

    /// The mean of text-to-image recall at 1, 5 and 10.
    public var imageMean: Double { imageRecall.reduce(0, +) / Double(imageRecall.count) }

    private static func recall(_ found: [Int]) -> [Double] {
        ranks.map { limit in
            found.isEmpty ? 0 : 100 * Double(found.count { $0 < limit }) / Double(found.count)
        }
    }
}
