/// A value of a pickle, by its place in the table of everything that the pickle made.
///
/// Values refer to each other by number, so that a pickle may share and nest them at will: nothing here recurses, and
/// giving up a deeply nested pickle frees one array.
struct PickleReference: Hashable, Sendable {
    let index: Int
}

/// What a pickle may make: plain data, tensors of PyTorch, and a name for everything else.
enum PickleValue: Sendable {
    case none
    case boolean(Bool)
    case integer(Int)
    case real(Double)
    case text(String)
    /// A byte string; its content is not kept.
    case bytes
    case tuple([PickleReference])
    /// A list, by the place of its items in ``PickleGraph/containers``.
    case list(Int)
    /// A dictionary, ordered or not, as it was filled: keys and values by turns, in ``PickleGraph/containers``. A later value
    /// replaces an earlier one of its key.
    case dictionary(Int)
    /// A class or function, by its full name. It is never looked up.
    case global(String)
    case storage(TorchStorage)
    case tensor(TorchTensor)
    /// An object of a class that is not built, by the class's name.
    case opaque(String)
}

/// Everything that a pickle made.
struct PickleGraph: Sendable {
    var values: [PickleValue] = []
    /// Items of lists and dictionaries, which grow in place after others have come to refer to them.
    var containers: [[PickleReference]] = []
    /// The value that the pickle stands for.
    var root = PickleReference(index: 0)

    subscript(_ reference: PickleReference) -> PickleValue { values[reference.index] }

    /// The items of a tuple or list.
    func sequence(_ reference: PickleReference) -> [PickleReference]? {
        switch self[reference] {
        case .tuple(let items): items
        case .list(let place): containers[place]
        default: nil
        }
    }

    /// The entries of a dictionary with text keys, in order; nil for what is no dictionary.
    func entries(_ reference: PickleReference) -> [(key: String, value: PickleValue, reference: PickleReference)]? {
        guard case .dictionary(let place) = self[reference] else { return nil }
        let items = containers[place]
        return stride(from: 0, to: items.count, by: 2).compactMap { index in
            guard case .text(let key) = self[items[index]] else { return nil }
            return (key, self[items[index + 1]], items[index + 1])
        }
    }
}

/// A block of numbers in an archive of PyTorch: `data/<key>`.
struct TorchStorage: Hashable, Sendable {
    let key: String
    let type: CheckpointElementType
    /// How many elements the pickle says it has.
    let count: Int
}

/// A tensor of a pickle: a storage seen through an offset, a shape and strides, all counted in elements. The numbers are as
/// found; ``TorchCheckpoint`` checks them.
struct TorchTensor: Sendable {
    let storage: TorchStorage
    let offset: Int
    let shape: [Int]
    let strides: [Int]
}

/// Why a pickle cannot be read, and where.
struct PickleError: Error, Equatable {
    /// Byte position of the instruction.
    let position: Int
    let reason: String
}
