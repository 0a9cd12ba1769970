import AlbefTensor

/// Checks of numbers that a file claims, by their bits: no arithmetic on tensor data.
enum BlockCheck {
    /// All exponent bits: infinity or NaN.
    private static let exponent: UInt32 = 0x7F80_0000

    /// Whether every float32 is finite.
    static func isFinite(_ tensor: ConstantTensor) -> Bool {
        unsafe words(tensor) { bits in
            var bad: UInt32 = 0
            for index in bits.indices { bad |= unsafe bits[index] & exponent == exponent ? 1 : 0 }
            return bad == 0
        }
    }

    /// Whether the first `channels` float32 are finite and at least +0, and the rest +0.
    static func areScales(_ tensor: ConstantTensor, channels: Int) -> Bool {
        unsafe words(tensor) { bits in
            var bad: UInt32 = 0
            // Without a sign, floats are ordered as their bits are.
            for index in 0..<channels { bad |= unsafe bits[index] >= exponent ? 1 : 0 }
            for index in channels..<bits.count { bad |= unsafe bits[index] }
            return bad == 0
        }
    }

    /// Whether the first `channels` int32 are sums of `depth` values in -127…127, and the rest 0.
    static func areColumnSums(_ tensor: ConstantTensor, channels: Int, depth: Int) -> Bool {
        let limit = Int32(127 * depth)
        return unsafe words(tensor) { bits in
            var bad: UInt32 = 0
            for index in 0..<channels {
                let sum = unsafe Int32(bitPattern: bits[index])
                bad |= sum > limit || sum < -limit ? 1 : 0
            }
            for index in channels..<bits.count { bad |= unsafe bits[index] }
            return bad == 0
        }
    }

    private static func words(_ tensor: ConstantTensor, _ body: (UnsafeBufferPointer<UInt32>) -> Bool) -> Bool {
        precondition(tensor.type.byteWidth == 4)
        // Safe: the tensor is aligned to 4 bytes and has `count` of them; any bits are a UInt32. It outlives the call.
        return withExtendedLifetime(tensor) {
            unsafe body(
                UnsafeBufferPointer(
                    start: tensor.pointer.assumingMemoryBound(to: UInt32.self), count: tensor.shape.count))
        }
    }
}
