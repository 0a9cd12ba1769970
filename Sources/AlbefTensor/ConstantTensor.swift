/// A dense tensor in memory that is never written, such as a weight in a mapped model file. It keeps that memory alive.
@safe public struct ConstantTensor: @unchecked Sendable {
    /// Dimensions as stored, outermost first.
    public let shape: Shape
    /// Element type.
    public let type: ElementType
    private let start: UnsafeRawPointer
    private let owner: any AnyObject & Sendable

    /// - Parameters:
    ///   - start: The first element, aligned to the element's width. The caller has checked that `shape.count` elements
    ///     follow, and that nobody writes them as long as `owner` lives.
    ///   - owner: What keeps the memory.
    @unsafe public init(start: UnsafeRawPointer, shape: Shape, type: ElementType, owner: any AnyObject & Sendable) {
        precondition(Int(bitPattern: start) % type.byteWidth == 0)
        self.shape = shape
        self.type = type
        unsafe self.start = start
        self.owner = owner
    }

    /// A tensor in memory of its own, 64-byte aligned; for tests and for weights that are computed.
    public init<Element: ArenaElement>(_ values: [Element], shape: Shape) {
        precondition(values.count == shape.count)
        let block = OwnedBlock(byteCount: values.count * Element.elementType.byteWidth)
        unsafe values.withUnsafeBytes { source in
            if let from = source.baseAddress { unsafe block.start.copyMemory(from: from, byteCount: source.count) }
        }
        unsafe self.init(
            start: UnsafeRawPointer(block.start), shape: shape, type: Element.elementType, owner: block)
    }

    /// Bytes of all elements.
    public var byteCount: Int { shape.count * type.byteWidth }

    /// The address of the first element; for kernels, which keep it only for the length of a call.
    @unsafe public var pointer: UnsafeRawPointer { unsafe start }

    /// A copy of the elements.
    public func read<Element: ArenaElement>(as type: Element.Type = Element.self) -> [Element] {
        precondition(self.type == Element.elementType)
        let source = unsafe UnsafeBufferPointer(start: start.assumingMemoryBound(to: Element.self), count: shape.count)
        return unsafe Array(source)
    }

    /// Runs `body` over the raw bytes.
    public func withBytes<Result, Failure: Error>(_ body: (RawSpan) throws(Failure) -> Result) throws(Failure) -> Result {
        let span = unsafe RawSpan(_unsafeStart: start, byteCount: byteCount)
        return try body(span)
    }
}

/// 64-byte-aligned memory of a fixed size.
@safe private final class OwnedBlock: @unchecked Sendable {
    let start: UnsafeMutableRawPointer

    init(byteCount: Int) {
        unsafe start = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, byteCount), alignment: Arena.alignment)
    }

    deinit { unsafe start.deallocate() }
}
