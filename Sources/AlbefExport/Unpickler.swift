/// Reads a pickle as data: a stack machine that knows plain values and the few functions by which PyTorch describes tensors.
///
/// Nothing is executed or looked up: a class or function is only a name, and calling or filling in one that is not known
/// makes an opaque value. Memory is bounded by the length of the pickle: each instruction makes at most one value, strings
/// are slices of the pickle, and shared values are numbers, so that no few bytes can stand for much memory.
///
/// Protocols 0 to 5 as `torch.save` writes them, optimiser and scheduler state and `argparse.Namespace` included. Persistent
/// identifiers are storages. The extension registry and out-of-band buffers, which `torch.save` never uses, are refused.
struct Unpickler {
    /// The most values a pickle may make. A pre-training checkpoint with its optimiser makes about 60 000.
    static let maximumValues = 1_000_000

    let data: [UInt8]
    var position = 0
    /// Where the instruction that runs begins; for messages.
    var instruction = 0
    var graph = PickleGraph()
    private var stack: [PickleReference] = []
    private var marks: [Int] = []
    private var memo: [Int: PickleReference] = [:]

    init(_ data: [UInt8]) { self.data = data }

    /// Runs the pickle.
    ///
    /// - Returns: The values, the root among them.
    static func read(_ data: [UInt8]) throws(PickleError) -> PickleGraph {
        var machine = Unpickler(data)
        while try machine.step() {}
        machine.graph.root = try machine.pop()
        return machine.graph
    }

    /// Runs one instruction; false after the last.
    private mutating func step() throws(PickleError) -> Bool {
        instruction = position
        let code = try byte()
        switch UnicodeScalar(code) {
        case ".": return false
        case "(": marks.append(stack.count)
        case "0":
            // As Python has it, a pop with nothing above the mark takes the mark.
            if let mark = marks.last, mark == stack.count { marks.removeLast() } else { _ = try pop() }
        case "1": _ = try popToMark()
        case "2": stack.append(try top())
        case "N": try push(.none)
        case "I", "L", "F", "S", "V", "c", "i", "p", "g", "P": try runTextInstruction(UnicodeScalar(code))
        case "J": try push(.integer(Int(Int32(truncatingIfNeeded: try number(4)))))
        case "K": try push(.integer(try number(1)))
        case "M": try push(.integer(try number(2)))
        case "G": try push(.real(Double(bitPattern: UInt64(truncatingIfNeeded: try number(8)).byteSwapped)))
        case "X": try pushText(try number(4))
        case "T": try pushText(try number(4))
        case "U": try pushText(try number(1))
        case "B": try pushBytes(try number(4))
        case "C": try pushBytes(try number(1))
        case ")": try push(.tuple([]))
        case "t": try push(.tuple(try popToMark()))
        case "]": try pushList([])
        case "l": try pushList(try popToMark())
        case "}": try pushDictionary([])
        case "d": try pushDictionary(try popToMark())
        case "a":
            let item = try pop()
            try extendList(try top(), with: [item])
        case "e":
            let items = try popToMark()
            try extendList(try top(), with: items)
        case "s":
            let value = try pop()
            let key = try pop()
            try extendDictionary(try top(), with: [key, value])
        case "u":
            let items = try popToMark()
            try extendDictionary(try top(), with: items)
        case "q": memo[try number(1)] = try top()
        case "r": memo[try number(4)] = try top()
        case "h": try recall(try number(1))
        case "j": try recall(try number(4))
        case "Q": try pushStorage(try pop())
        case "R":
            let arguments = try pop()
            try call(try pop(), arguments)
        case "b": _ = try pop()  // state of an object: dropped
        case "o":
            let parts = try popToMark()
            guard let type = parts.first else { throw failure("an object without a class") }
            try push(.opaque(className(type)))
        default: try runNewerInstruction(code)
        }
        return true
    }

    /// Instructions of protocols 2 to 5, whose codes are no ASCII characters.
    private mutating func runNewerInstruction(_ code: UInt8) throws(PickleError) {
        switch code {
        case 0x80:
            let version = try number(1)
            guard version <= 5 else { throw failure("pickle protocol \(version); known are 0 to 5") }
        case 0x81:  // NEWOBJ
            _ = try pop()
            try push(.opaque(className(try pop())))
        case 0x85: try pushTuple(1)
        case 0x86: try pushTuple(2)
        case 0x87: try pushTuple(3)
        case 0x88: try push(.boolean(true))
        case 0x89: try push(.boolean(false))
        case 0x8a: try pushLong(try number(1))
        case 0x8b: try pushLong(try number(4))
        case 0x8c: try pushText(try number(1))
        case 0x8d: try pushText(try number(8))
        case 0x8e, 0x96: try pushBytes(try number(8))
        case 0x8f: try push(.opaque("set"))
        case 0x90:  // ADDITEMS
            _ = try popToMark()
            _ = try top()
        case 0x91:
            _ = try popToMark()
            try push(.opaque("frozenset"))
        case 0x92:  // NEWOBJ_EX
            _ = try pop()
            _ = try pop()
            try push(.opaque(className(try pop())))
        case 0x93:  // STACK_GLOBAL
            let name = try pop()
            let module = try pop()
            guard case .text(let first) = graph[module], case .text(let second) = graph[name] else {
                throw failure("the name of a class is not text")
            }
            try push(.global(first + "." + second))
        case 0x94: memo[memo.count] = try top()
        case 0x95: _ = try number(8)  // FRAME: a hint for readers of streams
        default:
            throw failure("instruction 0x\(String(code, radix: 16)), which torch.save does not write")
        }
    }

    /// Instructions whose arguments are lines of text.
    private mutating func runTextInstruction(_ code: UnicodeScalar) throws(PickleError) {
        let line = try line()
        switch code {
        case "I" where line == "00" || line == "01": try push(.boolean(line == "01"))
        case "I", "L":
            let digits = line.hasSuffix("L") ? String(line.dropLast()) : line
            try push(Int(digits).map { .integer($0) } ?? .opaque("int"))
        case "F": try push(Double(line).map { .real($0) } ?? .opaque("float"))
        case "S": try push(.text(String(line.dropFirst().dropLast())))
        case "V": try push(.text(line))
        case "c":
            let name = try self.line()
            try push(.global(line + "." + name))
        case "i":
            let name = try self.line()
            _ = try popToMark()
            try push(.opaque(line + "." + name))
        case "p", "g":
            guard let index = Int(line) else { throw failure("the memo's index is not a number") }
            if code == "p" { memo[index] = try top() } else { try recall(index) }
        default: throw failure("a persistent identifier as text, which torch.save does not write")
        }
    }
}

// MARK: - The stack

extension Unpickler {
    func failure(_ reason: String) -> PickleError { PickleError(position: instruction, reason: reason) }

    mutating func push(_ value: PickleValue) throws(PickleError) {
        guard graph.values.count < Unpickler.maximumValues else {
            throw failure("more than \(Unpickler.maximumValues) values")
        }
        stack.append(PickleReference(index: graph.values.count))
        graph.values.append(value)
    }

    /// Pushes a value that is there already.
    mutating func push(_ reference: PickleReference) { stack.append(reference) }

    mutating func pushList(_ items: [PickleReference]) throws(PickleError) {
        try push(.list(graph.containers.count))
        graph.containers.append(items)
    }

    /// Pushes a dictionary of keys and values by turns.
    mutating func pushDictionary(_ items: [PickleReference]) throws(PickleError) {
        try requirePairs(items)
        try push(.dictionary(graph.containers.count))
        graph.containers.append(items)
    }

    /// The uppermost value, which must lie above the last mark.
    func top() throws(PickleError) -> PickleReference {
        guard let value = stack.last, stack.count > marks.last ?? 0 else { throw failure("the stack is empty") }
        return value
    }

    mutating func pop() throws(PickleError) -> PickleReference {
        let value = try top()
        stack.removeLast()
        return value
    }

    private mutating func popToMark() throws(PickleError) -> [PickleReference] {
        guard let mark = marks.popLast(), mark <= stack.count else { throw failure("no mark on the stack") }
        let items = Array(stack[mark...])
        stack.removeSubrange(mark...)
        return items
    }

    private mutating func pushTuple(_ count: Int) throws(PickleError) {
        var items: [PickleReference] = []
        for _ in 0..<count { items.append(try pop()) }
        try push(.tuple(items.reversed()))
    }

    private mutating func recall(_ index: Int) throws(PickleError) {
        guard let value = memo[index] else { throw failure("memo entry \(index) was never set") }
        stack.append(value)
    }

    private func requirePairs(_ items: [PickleReference]) throws(PickleError) {
        guard items.count % 2 == 0 else { throw failure("a key without a value") }
    }

    private mutating func extendList(_ target: PickleReference, with items: [PickleReference]) throws(PickleError) {
        switch graph[target] {
        case .list(let place): graph.containers[place] += items
        case .opaque: break
        default: throw failure("items for something that is no list")
        }
    }

    private mutating func extendDictionary(_ target: PickleReference, with items: [PickleReference]) throws(PickleError) {
        try requirePairs(items)
        switch graph[target] {
        case .dictionary(let place): graph.containers[place] += items
        case .opaque: break
        default: throw failure("keys and values for something that is no dictionary")
        }
    }
}

// MARK: - Literals

extension Unpickler {
    private mutating func byte() throws(PickleError) -> UInt8 {
        guard position < data.count else { throw failure("the pickle ends early") }
        position += 1
        return data[position - 1]
    }

    /// An unsigned little-endian number of 1, 2, 4 or 8 bytes. One of 8 bytes keeps its bits, so that as a length a huge one
    /// is negative.
    private mutating func number(_ width: Int) throws(PickleError) -> Int {
        let bytes = try take(width)
        return Int(truncatingIfNeeded: bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    private mutating func take(_ count: Int) throws(PickleError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= data.count - position else { throw failure("the pickle ends early") }
        position += count
        return data[position - count..<position]
    }

    private mutating func line() throws(PickleError) -> String {
        guard let end = data[position...].firstIndex(of: 0x0A) else { throw failure("the pickle ends early") }
        let bytes = data[position..<end]
        position = end + 1
        guard let text = String(validating: bytes, as: UTF8.self) else { throw failure("a line that is not UTF-8") }
        return text.hasSuffix("\r") ? String(text.dropLast()) : text
    }

    private mutating func pushText(_ count: Int) throws(PickleError) {
        let bytes = try take(count)
        try push(String(validating: bytes, as: UTF8.self).map { .text($0) } ?? .opaque("str"))
    }

    private mutating func pushBytes(_ count: Int) throws(PickleError) {
        _ = try take(count)
        try push(.bytes)
    }

    /// A two's complement integer of `count` bytes; one that does not fit 64 bits is opaque.
    private mutating func pushLong(_ count: Int) throws(PickleError) {
        let bytes = try take(count)
        guard bytes.count <= 8 else { return try push(.opaque("int")) }
        let fill: UInt64 = bytes.last.map { $0 >= 0x80 } == true ? .max : 0
        let bits = bytes.reversed().reduce(fill) { $0 << 8 | UInt64($1) }
        try push(.integer(Int(truncatingIfNeeded: bits)))
    }
}
