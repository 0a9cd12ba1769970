import AlbefKernels

/// Where a model looks: one value a patch of the picture, row after row from the top.
public struct Heatmap: Sendable, Equatable {
    /// Patches from top to bottom and from left to right, both at least 1.
    public let rows, columns: Int
    /// `rows * columns` values, not negative.
    public let values: [Float]

    public init(rows: Int, columns: Int, values: [Float]) {
        precondition(rows > 0 && columns > 0 && values.count == rows * columns)
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    /// One value a pixel of a picture: cubic convolution with a = -0.75, as box ranking is defined on it.
    ///
    /// - Returns: `height * width` values, row after row.
    public func upsampled(width: Int, height: Int, kernels: Kernels) -> [Float] {
        kernels.upsample(values, rows: rows, columns: columns, to: (height, width))
    }

    /// The box around what the map points at: the largest 4-connected region of the upsampled map whose values are at
    /// least half of its maximum.
    ///
    /// - Parameters:
    ///   - width: Of the picture, in pixels.
    ///   - height: Of the picture; fewer than 2^31 pixels in all.
    /// - Returns: x, y, width and height in pixels of the picture; nil if no value of the upsampled map is above 0.
    public func box(width: Int, height: Int, kernels: Kernels) -> [Float]? {
        let map = upsampled(width: width, height: height, kernels: kernels)
        guard let region = kernels.largestRegion(map, rows: height, columns: width) else { return nil }
        return [Float(region.x), Float(region.y), Float(region.width), Float(region.height)]
    }

    /// A proposed box and how well the map supports it.
    public struct RankedBox: Sendable, Equatable {
        /// x, y, width, height in pixels of the picture, as proposed.
        public let box: [Double]
        /// Sum of the upsampled map inside over the square root of the box's area.
        public let score: Float
        /// Place among the proposals.
        public let index: Int
    }

    /// Ranks proposed boxes, the best first; boxes of equal score keep their order, so that where none scores above 0
    /// the first proposal with the highest score leads.
    ///
    /// - Parameters:
    ///   - boxes: x, y, width, height in pixels of the picture; further values of a box are ignored.
    ///   - width: Of the picture.
    ///   - height: Of the picture.
    /// - Returns: All boxes with at least four values.
    /// - Source: ALBEF `dataset/utils.py`, `grounding_eval`.
    public func ranked(_ boxes: [[Double]], width: Int, height: Int, kernels: Kernels) -> [RankedBox] {
        let scores = scores(boxes, width: width, height: height, kernels: kernels)
        let ranked = boxes.indices.filter { boxes[$0].count >= 4 }.map {
            RankedBox(box: Array(boxes[$0].prefix(4)), score: scores[$0], index: $0)
        }
        return ranked.sorted { ($1.score, $0.index) < ($0.score, $1.index) }
    }

    /// Scores of proposed boxes, in their order; 0 for a box without area or with fewer than four values.
    public func scores(_ boxes: [[Double]], width: Int, height: Int, kernels: Kernels) -> [Float] {
        let map = upsampled(width: width, height: height, kernels: kernels)
        let flat = boxes.flatMap { $0.count >= 4 ? Array($0.prefix(4)) : [0, 0, 0, 0] }
        return kernels.boxScores(map, rows: height, columns: width, boxes: flat)
    }
}
