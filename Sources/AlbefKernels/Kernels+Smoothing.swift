import AlbefTensor
import CAlbefKernels

/// Smoothing of a layer's inputs at export: see `alb_smoothing.h`. All arrays are row-major float32.
extension Kernels {
    /// Raises `greatest[c]` to the greatest absolute value of column `c` of `x`, `[rows, columns]`.
    public static func raise(_ greatest: inout [Float], toColumnsOf x: TensorView, in arena: Arena) {
        precondition(x.shape.rank == 2 && greatest.count == x.columns)
        if arena.isPlanning || x.rows == 0 { return }
        unsafe alb_column_absmax_f32(x.rows, x.columns, arena.floats(x), x.rowStride, &greatest)
    }

    /// Raises `greatest[c]` to the greatest absolute value of column `c` of a matrix with as many columns.
    public static func raise(_ greatest: inout [Float], toColumnsOf matrix: [Float]) {
        precondition(!greatest.isEmpty && matrix.count % greatest.count == 0)
        let columns = greatest.count
        unsafe alb_column_absmax_f32(matrix.count / columns, columns, matrix, columns, &greatest)
    }

    /// The binary logarithm of each column's scale.
    ///
    /// - Parameters:
    ///   - inputs: The greatest absolute value of each input.
    ///   - weights: The greatest absolute weight of each input's column; as many.
    ///   - share: How much of the inputs' range moves into the weights, 0…1.
    /// - Returns: -24…24 each, 0 for a column without inputs or weights.
    public static func smoothingExponents(inputs: [Float], weights: [Float], share: Float) -> [Int32] {
        precondition(inputs.count == weights.count && share >= 0 && share <= 1)
        var exponents = [Int32](repeating: 0, count: inputs.count)
        if !inputs.isEmpty { unsafe alb_smoothing_exponents(inputs.count, inputs, weights, share, &exponents) }
        return exponents
    }

    /// Multiplies column `c` of a matrix by `2^exponents[c]`.
    public static func scaleColumns(_ matrix: inout [Float], by exponents: [Int32]) {
        precondition(!exponents.isEmpty && matrix.count % exponents.count == 0)
        unsafe alb_scale_columns_f32(matrix.count / exponents.count, exponents.count, &matrix, exponents)
    }

    /// Divides rows of a matrix, or elements of a vector (`width` 1), by `2^exponents[r]`.
    ///
    /// - Parameters:
    ///   - start: The row that the first exponent belongs to.
    ///   - width: Elements of a row.
    public static func unscaleRows(_ matrix: inout [Float], width: Int, from start: Int, by exponents: [Int32]) {
        precondition(start >= 0 && width > 0 && (start + exponents.count) * width <= matrix.count)
        unsafe matrix.withUnsafeMutableBufferPointer { values in
            guard let first = values.baseAddress else { return }
            // Safe: the rows were just checked to lie in the matrix.
            unsafe alb_unscale_rows_f32(exponents.count, width, first + start * width, exponents)
        }
    }
}
