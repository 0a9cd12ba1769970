/// The order of weights in memory: blocks of 16 output channels, and within a block groups of 4 along the depth.
///
/// Int8: `[N/16][K/4][16][4]`, so that one 64-byte load holds 4 depth steps of 16 channels. Float: `[N/16][K][16]`.
/// Channels are padded to a multiple of 16 and, for int8, the depth to a multiple of 4, with zero weights.
public enum PackedLayout {
    /// Output channels in a block.
    public static let channels = 16
    /// Depth steps that lie together for one channel of an int8 matrix.
    public static let group = 4

    /// Output channels with padding.
    public static func paddedChannels(_ count: Int) -> Int { (count + channels - 1) / channels * channels }
    /// Depth of an int8 matrix with padding.
    public static func paddedDepth(_ depth: Int) -> Int { (depth + group - 1) / group * group }
    /// Stored shape of an int8 matrix of `channels` outputs and `depth` inputs.
    public static func int8Shape(channels count: Int, depth: Int) -> Shape {
        Shape(paddedChannels(count) / channels, paddedDepth(depth) / group, channels, group)
    }
    /// Stored shape of a float matrix of `channels` outputs and `depth` inputs.
    public static func float32Shape(channels count: Int, depth: Int) -> Shape {
        Shape(paddedChannels(count) / channels, depth, channels)
    }
}

/// Int8 weights of a linear layer, or of an embedding (one channel a vocabulary entry): symmetric, one scale a channel.
public struct PackedInt8Matrix: Sendable {
    /// Output channels (N): rows of the checkpoint's `[out, in]` weight.
    public let channels: Int
    /// Inputs (K).
    public let depth: Int
    /// Int8 `[N/16, K/4, 16, 4]`, in -127…127.
    public let values: ConstantTensor
    /// Float32 `[paddedChannels]`: a weight is its int8 value times its channel's scale. Padding is 0.
    public let scales: ConstantTensor
    /// Int32 `[paddedChannels]`: the sum of a channel's int8 values, for the zero point of activations. Padding is 0.
    public let columnSums: ConstantTensor

    public init(channels: Int, depth: Int, values: ConstantTensor, scales: ConstantTensor, columnSums: ConstantTensor) {
        let padded = PackedLayout.paddedChannels(channels)
        precondition(values.type == .int8 && values.shape == PackedLayout.int8Shape(channels: channels, depth: depth))
        precondition(scales.type == .float32 && scales.shape == Shape(padded))
        precondition(columnSums.type == .int32 && columnSums.shape == Shape(padded))
        self.channels = channels
        self.depth = depth
        self.values = values
        self.scales = scales
        self.columnSums = columnSums
    }
}

/// Float32 weights of a linear layer or of an embedding.
public struct PackedFloat32Matrix: Sendable {
    /// Output channels (N): rows of the checkpoint's `[out, in]` weight.
    public let channels: Int
    /// Inputs (K).
    public let depth: Int
    /// Float32 `[N/16, K, 16]`.
    public let values: ConstantTensor

    public init(channels: Int, depth: Int, values: ConstantTensor) {
        precondition(
            values.type == .float32 && values.shape == PackedLayout.float32Shape(channels: channels, depth: depth))
        self.channels = channels
        self.depth = depth
        self.values = values
    }
}

/// A weight matrix in one of the two forms that a model file holds.
public enum PackedMatrix: Sendable {
    case int8(PackedInt8Matrix)
    case float32(PackedFloat32Matrix)

    /// Output channels (N).
    public var channels: Int {
        switch self {
        case .int8(let matrix): matrix.channels
        case .float32(let matrix): matrix.channels
        }
    }

    /// Inputs (K).
    public var depth: Int {
        switch self {
        case .int8(let matrix): matrix.depth
        case .float32(let matrix): matrix.depth
        }
    }
}
