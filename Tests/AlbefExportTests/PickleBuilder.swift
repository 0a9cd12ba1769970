/// Writes pickles instruction by instruction, so that tests can say any of them, good or hostile.
struct PickleBuilder {
    private(set) var bytes: [UInt8] = [0x80, 2]

    mutating func raw(_ code: UInt8...) { bytes += code }
    mutating func op(_ code: Character) { bytes += String(code).utf8 }

    mutating func text(_ value: String) {
        op("X")
        bytes += littleEndian(value.utf8.count, 4) + Array(value.utf8)
    }

    mutating func integer(_ value: Int) {
        bytes += [0x8a, 8] + littleEndian(value, 8)
    }

    mutating func global(_ module: String, _ name: String) { bytes += Array("c\(module)\n\(name)\n".utf8) }

    mutating func tuple(_ values: [Int]) {
        op("(")
        for value in values { integer(value) }
        op("t")
    }

    /// Pushes a tensor as `torch.save` describes it.
    mutating func tensor(
        key: String, count: Int, offset: Int = 0, shape: [Int], strides: [Int]? = nil, type: String = "FloatStorage"
    ) {
        global("torch._utils", "_rebuild_tensor_v2")
        op("(")
        op("(")
        text("storage")
        global("torch", type)
        text(key)
        text("cpu")
        integer(count)
        op("t")
        op("Q")
        integer(offset)
        tuple(shape)
        tuple(strides ?? rowMajorStrides(shape))
        raw(0x89)
        op("N")
        op("t")
        op("R")
    }

    /// A dictionary of everything that `body` pushes, key and value by turns.
    mutating func dictionary(_ body: (inout PickleBuilder) -> Void) {
        op("}")
        op("(")
        body(&self)
        op("u")
    }

    /// The pickle, ended.
    func finished() -> [UInt8] { bytes + [UInt8(ascii: ".")] }
}

/// Strides of a dense row-major tensor.
func rowMajorStrides(_ shape: [Int]) -> [Int] {
    var strides = shape
    var product = 1
    for axis in shape.indices.reversed() {
        strides[axis] = product
        product *= max(1, shape[axis])
    }
    return strides
}

/// The lowest `width` bytes of a number.
func littleEndian(_ value: Int, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}
