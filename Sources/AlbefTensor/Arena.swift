import Glibc

/// The one block of memory that holds every activation of a session, handed out as a stack.
///
/// A forward pass reserves tensors and gives them back by releasing to a mark. It is run once against a *planning* arena,
/// which has no memory: kernels return at once there, so the very code that computes also measures what it needs, and the
/// plan cannot differ from the use. The real arena is then made with that capacity, and later passes allocate nothing.
///
/// One arena serves one caller at a time; it is not `Sendable`.
@safe public final class Arena {
    /// Every tensor begins at a multiple of this many bytes: a cache line, and the widest vector register.
    public static let alignment = 64

    /// Bytes of a huge page where the system's pages have 4 KiB. Activations are read in strides that touch more pages than a
    /// processor keeps translations of; with huge pages it need not look them up.
    static let hugePage = 1 << 21

    private let base: UnsafeMutableRawPointer?
    /// Bytes that can be reserved at one time; `Int.max` while planning.
    public let capacity: Int
    /// Bytes reserved now.
    public private(set) var used = 0
    /// The most bytes reserved at one time so far.
    public private(set) var peak = 0
    private let lists = ListMemory()

    /// An arena without memory that only counts.
    public static func planning() -> Arena { unsafe Arena(base: nil, capacity: Int.max) }

    /// An arena of `capacity` bytes, 64-byte aligned, of huge pages where the system has them. Pages that are never written
    /// cost no memory; a huge one is written as a whole.
    public convenience init(capacity: Int) {
        precondition(capacity >= 0)
        let size = max(Arena.alignment, capacity)
        let alignment = size < Arena.hugePage ? Arena.alignment : Arena.hugePage
        let base = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: alignment)
        // Advice: where it is refused, all is as before but a little slower.
        if size >= Arena.hugePage { unsafe _ = madvise(base, size, MADV_HUGEPAGE) }
        unsafe self.init(base: base, capacity: size)
    }

    private init(base: UnsafeMutableRawPointer?, capacity: Int) {
        unsafe self.base = base
        self.capacity = capacity
    }

    deinit { unsafe base?.deallocate() }

    /// True for an arena without memory: kernels do nothing, and contents may not be read.
    public var isPlanning: Bool { unsafe base == nil }

    /// Takes room for a dense tensor; its contents are undefined. Running out of room is a fault of the plan and stops the
    /// program.
    public func reserve(_ shape: Shape, _ type: ElementType = .float32) -> TensorView {
        let view = TensorView(offset: used, shape: shape, type: type)
        let size = (view.byteCount + Arena.alignment - 1) / Arena.alignment * Arena.alignment
        precondition(size <= capacity - used, "the arena's plan is smaller than its use")
        used += size
        peak = max(peak, used)
        return view
    }

    /// How much is reserved at a moment; see ``release(to:)``.
    public struct Mark {
        fileprivate let used: Int
        fileprivate let lists: ListMemory.Place
    }

    /// Remembers how much is reserved now.
    public func mark() -> Mark { Mark(used: used, lists: lists.place) }

    /// Gives back everything reserved since `mark`.
    public func release(to mark: Mark) {
        precondition(mark.used <= used)
        used = mark.used
        lists.release(to: mark.lists)
    }

    /// Takes room for a list of at most `capacity` elements.
    public func list<Element: BitwiseCopyable>(of type: Element.Type = Element.self, capacity: Int) -> ArenaList<Element> {
        ArenaList(lists, capacity: capacity)
    }

    /// Runs `body` and gives back what it reserved.
    public func scoped<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        let start = mark()
        defer { release(to: start) }
        return try body()
    }

    /// The address of a view's first element; for kernels, which keep it only for the length of a call.
    @unsafe public func pointer(to view: TensorView) -> UnsafeMutableRawPointer {
        precondition(view.offset + view.byteCount <= min(peak, capacity), "the view lies outside of its arena")
        guard let base = unsafe base else { preconditionFailure("a planning arena has no memory") }
        return unsafe base + view.offset
    }

    /// Copies values into a dense tensor. Does nothing while planning.
    public func write<Element: ArenaElement>(_ values: Span<Element>, to view: TensorView) {
        precondition(view.type == Element.elementType && view.isDense && view.shape.count == values.count)
        if isPlanning { return }
        unsafe values.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe pointer(to: view).copyMemory(from: start, byteCount: source.count)
        }
    }

    /// Sets one element of a dense tensor. Does nothing while planning.
    public func set<Element: ArenaElement>(_ index: Int, of view: TensorView, to value: Element) {
        precondition(view.type == Element.elementType && view.isDense && index >= 0 && index < view.shape.count)
        if isPlanning { return }
        unsafe pointer(to: view).assumingMemoryBound(to: Element.self)[index] = value
    }

    /// Sets every element to zero; there may be gaps between rows. Does nothing while planning.
    public func clear(_ view: TensorView) {
        if isPlanning { return }
        let start = unsafe pointer(to: view)
        for row in 0..<view.rows {
            // Safe: the row lies inside of the view. A zero of every type is bytes of zeros.
            unsafe (start + row * view.rowStride * view.type.byteWidth).initializeMemory(
                as: UInt8.self, repeating: 0, count: view.columns * view.type.byteWidth)
        }
    }

    /// Copies the elements of one tensor to another of the same shape that does not overlap it; both may have gaps between
    /// rows. Does nothing while planning.
    public func copy(_ source: TensorView, to target: TensorView) {
        precondition(source.type == target.type && source.shape == target.shape)
        if isPlanning { return }
        let width = source.columns * source.type.byteWidth
        let from = unsafe pointer(to: source), to = unsafe pointer(to: target)
        for row in 0..<source.rows {
            // Safe: both views lie inside of the arena, and a row is as wide in one as in the other.
            unsafe (to + row * target.rowStride * target.type.byteWidth).copyMemory(
                from: from + row * source.rowStride * source.type.byteWidth, byteCount: width)
        }
    }

    /// The elements of a tensor, row after row, as an array. An array of zeros while planning.
    public func read<Element: ArenaElement>(_ view: TensorView, as type: Element.Type = Element.self) -> [Element] {
        precondition(view.type == Element.elementType)
        if isPlanning { return Array(repeating: .zero, count: view.shape.count) }
        let start = unsafe pointer(to: view).assumingMemoryBound(to: Element.self)
        let columns = view.columns
        return unsafe Array(unsafeUninitializedCapacity: view.shape.count) { buffer, count in
            if let base = buffer.baseAddress, columns > 0 {
                for row in 0..<view.rows {
                    // Safe: the buffer has room for all rows, and the row lies inside of the view.
                    unsafe (base + row * columns).initialize(from: start + row * view.rowStride, count: columns)
                }
            }
            count = view.shape.count
        }
    }

    /// One element, counted over the rows of the view; zero while planning.
    public func element<Element: ArenaElement>(_ index: Int, of view: TensorView, as type: Element.Type = Element.self)
        -> Element
    {
        precondition(view.type == Element.elementType && index >= 0 && index < view.shape.count)
        if isPlanning { return .zero }
        let start = unsafe pointer(to: view).assumingMemoryBound(to: Element.self)
        return unsafe start[index / view.columns * view.rowStride + index % view.columns]
    }
}

/// The Swift types that tensors hold.
public protocol ArenaElement: BitwiseCopyable, Numeric {
    static var elementType: ElementType { get }
}

extension Float: ArenaElement { public static var elementType: ElementType { .float32 } }
extension Int32: ArenaElement { public static var elementType: ElementType { .int32 } }
extension UInt8: ArenaElement { public static var elementType: ElementType { .uint8 } }
extension Int8: ArenaElement { public static var elementType: ElementType { .int8 } }
