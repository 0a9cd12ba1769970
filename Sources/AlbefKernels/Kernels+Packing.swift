import AlbefTensor
import CAlbefKernels

/// An int8 matrix as it was packed, and what quantisation did to it.
public struct PackedInt8Weights: Sendable {
    /// `[N/16, K/4, 16, 4]`, see ``PackedLayout``.
    public let values: [Int8]
    /// One a channel, padded to a multiple of 16 with 0.
    public let scales: [Float]
    /// Sums of a channel's int8 values, padded like `scales`.
    public let columnSums: [Int32]
    /// The least and the greatest of the channels' largest absolute weights.
    public let absoluteMaximumRange: ClosedRange<Float>
    /// Root of the mean squared difference between the weights and what their int8 values stand for.
    public let rootMeanSquareError: Double
    /// The same, as a share of the weights' own root mean square; 0 when all weights are 0.
    public let relativeError: Double
    /// The first channel whose own relative error is greatest; 0 when all weights are 0.
    public let worstChannel: Int
    /// The relative error of that channel.
    public let worstChannelError: Double
}

extension Kernels {
    /// Quantises weights to symmetric int8 with one scale a channel and lays them out for the kernels.
    ///
    /// - Parameters:
    ///   - weight: Row-major `[channels, depth]`.
    ///   - threads: How many threads may work.
    /// - Returns: nil when a weight is an infinity or a NaN.
    public static func packInt8(_ weight: Span<Float>, channels: Int, depth: Int, threads: Int = 1) -> PackedInt8Weights? {
        precondition(weight.count == channels * depth)
        let padded = PackedLayout.paddedChannels(channels)
        var values = [Int8](repeating: 0, count: padded * PackedLayout.paddedDepth(depth))
        var scales = [Float](repeating: 0, count: padded)
        var sums = [Int32](repeating: 0, count: padded)
        var report = alb_pack_report()
        if weight.count > 0 {
            unsafe weight.withUnsafeBufferPointer { source in
                guard let start = source.baseAddress else { return }
                unsafe alb_pack_int8(Int32(threads), channels, depth, start, &values, &scales, &sums, &report)
            }
            guard report.finite else { return nil }
        }
        let count = Double(max(1, weight.count))
        return PackedInt8Weights(
            values: values, scales: scales, columnSums: sums,
            absoluteMaximumRange: report.least_absmax...report.greatest_absmax,
            rootMeanSquareError: (report.square_error / count).squareRoot(),
            relativeError: report.square_sum > 0 ? (report.square_error / report.square_sum).squareRoot() : 0,
            worstChannel: report.worst_channel, worstChannelError: report.worst_share.squareRoot())
    }

    /// As the general form, for an array.
    public static func packInt8(_ weight: [Float], channels: Int, depth: Int, threads: Int = 1) -> PackedInt8Weights? {
        packInt8(weight.span, channels: channels, depth: depth, threads: threads)
    }

    /// Lays float32 weights out for the kernels: `[N/16, K, 16]`, see ``PackedLayout``.
    ///
    /// - Parameter weight: Row-major `[channels, depth]`.
    /// - Returns: nil when a weight is an infinity or a NaN.
    public static func packFloat32(_ weight: Span<Float>, channels: Int, depth: Int, threads: Int = 1) -> [Float]? {
        precondition(weight.count == channels * depth)
        var values = [Float](repeating: 0, count: PackedLayout.paddedChannels(channels) * depth)
        guard weight.count > 0 else { return values }
        let finite = unsafe weight.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return true }
            return unsafe alb_pack_f32(Int32(threads), channels, depth, start, &values)
        }
        return finite ? values : nil
    }

    /// As the general form, for an array.
    public static func packFloat32(_ weight: [Float], channels: Int, depth: Int, threads: Int = 1) -> [Float]? {
        packFloat32(weight.span, channels: channels, depth: depth, threads: threads)
    }

    /// The weights that a packed matrix stands for, row-major `[channels, depth]`; int8 values times their scales.
    public static func unpack(_ matrix: PackedMatrix, threads: Int = 1) -> [Float] {
        var weights = [Float](repeating: 0, count: matrix.channels * matrix.depth)
        guard !weights.isEmpty else { return weights }
        switch matrix {
        case .int8(let m):
            unsafe alb_unpack_int8(
                Int32(threads), m.channels, m.depth, m.values.signedBytes, m.scales.floats, &weights)
        case .float32(let m):
            unsafe alb_unpack_f32(Int32(threads), m.channels, m.depth, m.values.floats, &weights)
        }
        return weights
    }
}

extension PackedInt8Weights {
    /// A matrix in memory of its own; for tests and measurements.
    public func matrix(channels: Int, depth: Int) -> PackedInt8Matrix {
        PackedInt8Matrix(
            channels: channels, depth: depth,
            values: ConstantTensor(values, shape: PackedLayout.int8Shape(channels: channels, depth: depth)),
            scales: ConstantTensor(scales, shape: Shape(scales.count)),
            columnSums: ConstantTensor(columnSums, shape: Shape(columnSums.count)))
    }
}
