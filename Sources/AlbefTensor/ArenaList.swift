/// A list of plain values that a pass keeps beside its tensors, such as where texts lie among rows. Its room is taken from an
/// arena and given back with the tensors, so that a pass that has run before asks the system for nothing.
///
/// Unlike a tensor it has memory while planning, when passes need the values too; that memory is not part of the plan. As with
/// a tensor, what a list holds is undefined behind the release of what it was taken with.
@safe public struct ArenaList<Element: BitwiseCopyable> {
    /// Safe: room for `capacity` elements, of which the first `count` are written, as long as `memory` holds `place`.
    private let start: UnsafeMutablePointer<Element>
    private let memory: ListMemory
    private let place: ListMemory.Place
    /// The most elements.
    public let capacity: Int
    /// Elements so far.
    public private(set) var count = 0

    init(_ memory: ListMemory, capacity: Int) {
        precondition(capacity >= 0)
        precondition(MemoryLayout<Element>.alignment <= ListMemory.alignment)
        let (bytes, overflow) = capacity.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        precondition(!overflow)
        self.memory = memory
        self.capacity = capacity
        unsafe start = memory.take(bytes).bindMemory(to: Element.self, capacity: capacity)
        place = memory.place
    }

    public var isEmpty: Bool { count == 0 }

    /// Adds an element. A list that is full stops the program.
    public mutating func append(_ element: Element) {
        precondition(count < capacity && memory.holds(place))
        unsafe (start + count).initialize(to: element)
        count += 1
    }

    /// The address of the first element; for kernels, which keep it only for the length of a call.
    @unsafe public var pointer: UnsafePointer<Element> {
        precondition(memory.holds(place))
        return unsafe UnsafePointer(start)
    }

    /// A copy of the elements.
    public var elements: [Element] { (0..<count).map { self[$0] } }

    /// Takes the last elements away.
    public mutating func removeLast(_ number: Int) {
        precondition(number >= 0 && number <= count)
        count -= number
    }

    /// An element that was added before.
    public subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count && memory.holds(place))
            return unsafe start[index]
        }
        nonmutating set {
            precondition(index >= 0 && index < count && memory.holds(place))
            unsafe start[index] = newValue
        }
    }
}

/// Values that are counted and read by their places: arrays, and the lists of an arena, which stand in for them where a pass
/// must not ask for memory.
public protocol IndexedValues<Element> {
    associatedtype Element
    var count: Int { get }
    subscript(index: Int) -> Element { get }
}

extension Array: IndexedValues {}
extension ArenaList: IndexedValues {}

/// The memory of an arena's lists: blocks that are filled one after another, and never given up.
@safe final class ListMemory {
    static let alignment = 16

    /// How far the blocks are filled.
    struct Place: Equatable {
        fileprivate var block = 0
        fileprivate var used = 0
    }

    private(set) var place = Place()
    private var blocks: [UnsafeMutableRawPointer] = unsafe []
    private var sizes: [Int] = []

    /// Takes room for so many bytes, until a release to a place before.
    func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let size = (byteCount + ListMemory.alignment - 1) / ListMemory.alignment * ListMemory.alignment
        while true {
            if place.block == sizes.count {
                let room = max(size, 1 << 14)
                unsafe blocks.append(.allocate(byteCount: room, alignment: ListMemory.alignment))
                sizes.append(room)
            }
            if size <= sizes[place.block] - place.used {
                let start = unsafe blocks[place.block] + place.used
                place.used += size
                return unsafe start
            }
            place = Place(block: place.block + 1, used: 0)
        }
    }

    func release(to earlier: Place) {
        precondition(holds(earlier))
        place = earlier
    }

    /// Whether nothing that was taken up to `earlier` has been released.
    func holds(_ earlier: Place) -> Bool {
        earlier.block < place.block || earlier.block == place.block && earlier.used <= place.used
    }

    deinit {
        for index in sizes.indices { unsafe blocks[index].deallocate() }
    }
}
