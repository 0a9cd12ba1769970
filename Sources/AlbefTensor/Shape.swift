/// The dimensions of a tensor, outermost first; at most four, stored in line, so that making one allocates nothing.
public struct Shape: Sendable, Equatable, BitwiseCopyable, CustomStringConvertible {
    /// The greatest number of dimensions.
    public static let maximumRank = 4

    /// Number of dimensions, 0 (a scalar) to 4.
    public let rank: Int
    private let dimensions: (Int, Int, Int, Int)

    public init() { self.init(rank: 0, (1, 1, 1, 1)) }
    public init(_ d0: Int) { self.init(rank: 1, (d0, 1, 1, 1)) }
    public init(_ d0: Int, _ d1: Int) { self.init(rank: 2, (d0, d1, 1, 1)) }
    public init(_ d0: Int, _ d1: Int, _ d2: Int) { self.init(rank: 3, (d0, d1, d2, 1)) }
    public init(_ d0: Int, _ d1: Int, _ d2: Int, _ d3: Int) { self.init(rank: 4, (d0, d1, d2, d3)) }

    /// Takes dimensions that come from a file.
    ///
    /// - Returns: nil when there are more than four, when one is negative, or when their product exceeds `Int.max / 8`.
    public init?(validating dimensions: [Int]) {
        guard dimensions.count <= Shape.maximumRank, dimensions.allSatisfy({ $0 >= 0 }) else { return nil }
        var product = 1
        for dimension in dimensions {
            let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
            guard !overflow, next <= Int.max / 8 else { return nil }
            product = next
        }
        let d = dimensions + Array(repeating: 1, count: Shape.maximumRank - dimensions.count)
        self.init(rank: dimensions.count, (d[0], d[1], d[2], d[3]))
    }

    private init(rank: Int, _ dimensions: (Int, Int, Int, Int)) {
        precondition(min(min(dimensions.0, dimensions.1), min(dimensions.2, dimensions.3)) >= 0)
        self.rank = rank
        self.dimensions = dimensions
    }

    /// The size of one dimension; `axis` counts from the outermost.
    public subscript(axis: Int) -> Int {
        precondition(axis >= 0 && axis < rank)
        return switch axis {
        case 0: dimensions.0
        case 1: dimensions.1
        case 2: dimensions.2
        default: dimensions.3
        }
    }

    /// Number of elements: the product of the dimensions, 1 for a scalar.
    public var count: Int { dimensions.0 * dimensions.1 * dimensions.2 * dimensions.3 }

    /// The innermost dimension, 1 for a scalar.
    public var last: Int { rank == 0 ? 1 : self[rank - 1] }

    /// The dimensions as an array.
    public var array: [Int] { (0..<rank).map { self[$0] } }

    public static func == (a: Shape, b: Shape) -> Bool { a.rank == b.rank && a.dimensions == b.dimensions }

    public var description: String { "[" + array.map(String.init).joined(separator: ", ") + "]" }
}
