/// The functions that a checkpoint's pickle calls, and what we make of each.
extension Unpickler {
    /// Storage classes by which `torch.save` names element types.
    private static let storageTypes: [String: CheckpointElementType] = [
        "torch.DoubleStorage": .float64, "torch.FloatStorage": .float32, "torch.HalfStorage": .float16,
        "torch.BFloat16Storage": .bfloat16, "torch.LongStorage": .int64, "torch.IntStorage": .int32,
        "torch.ShortStorage": .int16, "torch.CharStorage": .int8, "torch.ByteStorage": .uint8,
        "torch.BoolStorage": .bool,
    ]

    /// What an object of the class is called in messages.
    func className(_ type: PickleReference) -> String {
        switch graph[type] {
        case .global(let name), .opaque(let name): name
        default: "object"
        }
    }

    /// Makes the value of `function(*arguments)` as far as it is data.
    mutating func call(_ function: PickleReference, _ arguments: PickleReference) throws(PickleError) {
        guard case .tuple(var items) = graph[arguments] else { throw failure("the arguments of a call are no tuple") }
        guard case .global(var name) = graph[function] else { return try push(.opaque(className(function))) }
        if name == "torch._tensor._rebuild_from_type_v2", items.count >= 3,
            case .global(let inner) = graph[items[0]], case .tuple(let innerItems) = graph[items[2]]
        {
            // A tensor with attributes of its own: the function that makes the plain tensor, its type, its arguments.
            name = inner
            items = innerItems
        }
        switch name {
        case "collections.OrderedDict", "builtins.dict", "__builtin__.dict": try pushDictionary(try pairs(items))
        case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor": try push(try tensor(items))
        case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
            guard let first = items.first, case .tensor = graph[first] else {
                throw failure("a parameter without a tensor")
            }
            push(first)
        case "torch.Size":
            guard let first = items.first else { return try push(.tuple([])) }
            push(first)
        default: try push(.opaque(name))
        }
    }

    /// Keys and values by turns of a dictionary that is made from a list of pairs.
    private func pairs(_ arguments: [PickleReference]) throws(PickleError) -> [PickleReference] {
        guard let first = arguments.first else { return [] }
        guard let items = graph.sequence(first) else { throw failure("a dictionary from something that is no list of pairs") }
        var result: [PickleReference] = []
        for item in items {
            guard let pair = graph.sequence(item), pair.count == 2 else { throw failure("an entry that is no pair") }
            result += pair
        }
        return result
    }

    /// `('storage', class, key, location, count)`, the persistent identifier of a storage.
    mutating func pushStorage(_ identifier: PickleReference) throws(PickleError) {
        guard let items = graph.sequence(identifier), items.count >= 5, case .text("storage") = graph[items[0]],
            case .global(let type) = graph[items[1]], case .integer(let count) = graph[items[4]]
        else { throw failure("a persistent identifier that is no storage") }
        let key: String
        switch graph[items[2]] {
        case .text(let text): key = text
        case .integer(let number): key = String(number)
        default: throw failure("a storage without a key")
        }
        // A type that is not known, such as float8, makes the tensors over it opaque and spoils nothing else.
        guard let element = Unpickler.storageTypes[type] else { return try push(.opaque(type)) }
        try push(.storage(TorchStorage(key: key, type: element, count: count)))
    }

    /// `(storage, offset, shape, strides, …)`
    private func tensor(_ items: [PickleReference]) throws(PickleError) -> PickleValue {
        guard items.count >= 4, case .integer(let offset) = graph[items[1]],
            let shape = integers(items[2]), let strides = integers(items[3])
        else { throw failure("a tensor whose description is damaged") }
        switch graph[items[0]] {
        case .storage(let storage):
            return .tensor(TorchTensor(storage: storage, offset: offset, shape: shape, strides: strides))
        case .opaque(let name): return .opaque("tensor over \(name)")
        default: throw failure("a tensor without a storage")
        }
    }

    private func integers(_ value: PickleReference) -> [Int]? {
        guard let items = graph.sequence(value), items.count <= 64 else { return nil }
        var result: [Int] = []
        for item in items {
            guard case .integer(let number) = graph[item] else { return nil }
            result.append(number)
        }
        return result
    }
}
