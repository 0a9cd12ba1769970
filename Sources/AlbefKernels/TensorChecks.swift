import AlbefTensor

extension TensorView {
    /// Stops unless this is a float matrix of the given shape; rows may have gaps.
    func requireMatrix(_ rows: Int, _ columns: Int) {
        precondition(type == .float32 && shape == Shape(rows, columns), "expected [\(rows), \(columns)], found \(shape)")
    }

    /// Stops unless this is a dense float tensor of the given shape.
    func requireDense(_ shape: Shape) {
        precondition(type == .float32 && isDense && self.shape == shape, "expected \(shape), found \(self.shape)")
    }
}

extension ConstantTensor {
    /// Stops unless this is a float vector of the given length.
    func requireVector(_ count: Int) {
        precondition(type == .float32 && shape == Shape(count), "expected [\(count)], found \(shape)")
    }
}
