/// Where a tensor lies in an ``Arena``: a plain value that holds no memory. Spans and pointers are made from it per call.
public struct TensorView: Sendable, Equatable, BitwiseCopyable {
    /// Bytes from the start of the arena to the first element.
    public let offset: Int
    /// Dimensions, outermost first.
    public let shape: Shape
    /// Element type.
    public let type: ElementType
    /// Elements from one row (innermost dimension) to the next. Larger than `shape.last` only for a view of some columns
    /// of a matrix.
    public let rowStride: Int

    /// A dense tensor, or some columns of a matrix when `rowStride` is given.
    public init(offset: Int, shape: Shape, type: ElementType, rowStride: Int? = nil) {
        let stride = rowStride ?? shape.last
        precondition(offset >= 0 && stride >= shape.last)
        precondition(stride == shape.last || shape.rank == 2, "only a matrix may have gaps between its rows")
        self.offset = offset
        self.shape = shape
        self.type = type
        self.rowStride = stride
    }

    /// Product of all dimensions but the last.
    public var rows: Int { shape.last == 0 ? 0 : shape.count / shape.last }
    /// The innermost dimension.
    public var columns: Int { shape.last }
    /// True when rows follow each other without gaps.
    public var isDense: Bool { rowStride == shape.last }
    /// Bytes from the first to past the last element.
    public var byteCount: Int {
        rows == 0 ? 0 : ((rows - 1) * rowStride + columns) * type.byteWidth
    }

    /// Some rows of a matrix.
    public func rows(_ range: Range<Int>) -> TensorView {
        precondition(shape.rank == 2 && range.lowerBound >= 0 && range.upperBound <= shape[0])
        return TensorView(
            offset: offset + range.lowerBound * rowStride * type.byteWidth, shape: Shape(range.count, columns), type: type,
            rowStride: rowStride)
    }

    /// One matrix of a stack of them, `[count, rows, columns]`.
    public func matrix(_ index: Int) -> TensorView {
        precondition(shape.rank == 3 && index >= 0 && index < shape[0])
        let size = shape[1] * shape[2]
        return TensorView(offset: offset + index * size * type.byteWidth, shape: Shape(shape[1], shape[2]), type: type)
    }

    /// Some columns of a matrix, for example the keys among the outputs of a fused query-key-value projection.
    public func columns(_ range: Range<Int>) -> TensorView {
        precondition(shape.rank == 2 && range.lowerBound >= 0 && range.upperBound <= columns)
        return TensorView(
            offset: offset + range.lowerBound * type.byteWidth, shape: Shape(rows, range.count), type: type,
            rowStride: rowStride)
    }

    /// The same elements under another shape of equal count. The view must be dense.
    public func reshaped(_ shape: Shape) -> TensorView {
        precondition(isDense && shape.count == self.shape.count)
        return TensorView(offset: offset, shape: shape, type: type)
    }
}
