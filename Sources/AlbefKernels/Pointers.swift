import AlbefTensor

// Typed addresses for the C kernels. Each check makes a wrong type or a damaged layout stop here and not inside a kernel.

extension Arena {
    /// The first element of a float32 tensor.
    @unsafe func floats(_ view: TensorView) -> UnsafeMutablePointer<Float> {
        precondition(view.type == .float32)
        return unsafe pointer(to: view).assumingMemoryBound(to: Float.self)
    }

    /// The first element of an int32 tensor.
    @unsafe func integers(_ view: TensorView) -> UnsafeMutablePointer<Int32> {
        precondition(view.type == .int32)
        return unsafe pointer(to: view).assumingMemoryBound(to: Int32.self)
    }

    /// The first element of a uint8 tensor.
    @unsafe func bytes(_ view: TensorView) -> UnsafeMutablePointer<UInt8> {
        precondition(view.type == .uint8)
        return unsafe pointer(to: view).assumingMemoryBound(to: UInt8.self)
    }

    /// The first element of an int8 tensor.
    @unsafe func signedBytes(_ view: TensorView) -> UnsafeMutablePointer<Int8> {
        precondition(view.type == .int8)
        return unsafe pointer(to: view).assumingMemoryBound(to: Int8.self)
    }
}

extension ConstantTensor {
    /// The first element of a float32 tensor.
    @unsafe var floats: UnsafePointer<Float> {
        precondition(type == .float32)
        return unsafe pointer.assumingMemoryBound(to: Float.self)
    }

    /// The first element of an int32 tensor.
    @unsafe var integers: UnsafePointer<Int32> {
        precondition(type == .int32)
        return unsafe pointer.assumingMemoryBound(to: Int32.self)
    }

    /// The first element of an int8 tensor.
    @unsafe var signedBytes: UnsafePointer<Int8> {
        precondition(type == .int8)
        return unsafe pointer.assumingMemoryBound(to: Int8.self)
    }
}
