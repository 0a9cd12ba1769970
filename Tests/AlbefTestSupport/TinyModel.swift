import AlbefFiles
import AlbefKernels
import AlbefModelFile
import AlbefTensor
import Foundation

/// A small model with random weights, for tests: odd widths, so that every tail of every kernel is met.
///
/// Its layout is written down here once more, apart from the exporter's, so that either can find the other's mistake.
public struct TinyModel: Sendable {
    /// Sizes.
    public var configuration = ModelConfiguration(
        imageSize: 24, patchSize: 8, visionWidth: 36, visionLayers: 2, visionHeads: 3, textWidth: 40, textLayers: 4,
        fusionLayer: 2, textHeads: 2, embedDim: 20, vocabSize: TinyModel.vocabulary.count, maxPositions: 96,
        decoderLayers: 2, gradcamLayer: 2, maxWords: 30, mean: [0.48145466, 0.4578275, 0.40821073],
        std: [0.26862954, 0.26130258, 0.27577711])
    /// How matrices are stored.
    public var precision = Precision.int8
    /// Whether there are `vision_proj` and `text_proj`, `itm_head`, `text_encoder.cls`, `text_decoder`.
    public var contrastive = true, matching = true, maskedLanguage = true, answering = true
    /// Outputs of `cls_head`; 0 for a model without one. With two, the fusion layers come in pairs for two pictures, whose
    /// second layers have no keys' and values' projections of their own.
    public var classes = 0
    /// Tensors that are left out.
    public var omitted: Set<String> = []
    /// Tensors whose values are multiplied.
    public var scaled: [String: Float] = [:]
    /// Answers in the file.
    public var answers: [String]? = ["yes", "no", "red dog", "two", "blue", "cat playing", "left"]
    /// Of the random weights.
    public var seed: UInt64 = 1

    public init() {}

    /// Nothing but a classification head. With two classes there are two pairs of fusion layers and half of a third one.
    public static func classifying(_ classes: Int) -> TinyModel {
        var tiny = TinyModel()
        (tiny.contrastive, tiny.matching, tiny.maskedLanguage, tiny.answering) = (false, false, false, false)
        (tiny.classes, tiny.answers) = (classes, nil)
        tiny.configuration.decoderLayers = 0
        if classes == 2 { tiny.configuration.textLayers = 7 }
        return tiny
    }

    /// With heads and pictures' tokens of whole packed blocks, so that fusion with short texts takes the absorbed form of
    /// cross-attention.
    public static var wide: TinyModel {
        var tiny = TinyModel()
        (tiny.configuration.visionWidth, tiny.configuration.textWidth) = (48, 64)
        return tiny
    }

    /// A classifier with more heads, so that in fusion the queries that absorbed a projection are larger than all else.
    public static var manyHeaded: TinyModel {
        var tiny = TinyModel.classifying(3)
        (tiny.configuration.visionWidth, tiny.configuration.visionHeads) = (128, 4)
        (tiny.configuration.textWidth, tiny.configuration.textHeads) = (128, 8)
        return tiny
    }

    /// The same as ``wide`` with nothing but a classification head.
    public static func wideClassifying(_ classes: Int) -> TinyModel {
        var tiny = TinyModel.classifying(classes)
        (tiny.configuration.visionWidth, tiny.configuration.textWidth) = (48, 64)
        return tiny
    }

    /// Words of the tokenizer.
    public static let vocabulary =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        + "a dog cat red blue two one on the left right of is what color yes no play ##ing ##s big small tree in with"
        .split(separator: " ").map(String.init)

    /// One weight: its name, its shape as stored, and how it lies in the file.
    public struct Weight: Sendable {
        public enum Form: Sendable { case matrix, head, plain }
        public let name: String
        public let shape: [Int]
        public let form: Form
    }

    /// Every weight of the model, in the order of the file.
    public var weights: [Weight] {
        let c = configuration
        var list: [Weight] = []
        func linear(_ name: String, _ outputs: Int, _ inputs: Int, _ form: Weight.Form = .matrix) {
            list.append(Weight(name: name + ".weight", shape: [outputs, inputs], form: form))
            list.append(Weight(name: name + ".bias", shape: [outputs], form: .plain))
        }
        func norm(_ name: String, _ width: Int) {
            list.append(Weight(name: name + ".weight", shape: [width], form: .plain))
            list.append(Weight(name: name + ".bias", shape: [width], form: .plain))
        }
        func attention(_ name: String, _ width: Int, _ source: Int, ownKeysValues: Bool = true) {
            linear(name + ".self.query", width, width)
            if ownKeysValues {
                linear(name + ".self.key", width, source)
                linear(name + ".self.value", width, source)
            }
            linear(name + ".output.dense", width, width)
            norm(name + ".output.LayerNorm", width)
        }
        func stack(_ name: String, layers: Int, fusion: Int, source: Int, pairs: Bool = false) {
            let width = c.textWidth
            list.append(Weight(name: name + ".embeddings.word_embeddings.weight", shape: [c.vocabSize, width], form: .matrix))
            list.append(
                Weight(name: name + ".embeddings.position_embeddings.weight", shape: [c.maxPositions, width], form: .plain))
            list.append(Weight(name: name + ".embeddings.token_type_embeddings.weight", shape: [2, width], form: .plain))
            norm(name + ".embeddings.LayerNorm", width)
            for index in 0..<layers {
                let layer = name + ".encoder.layer.\(index)"
                attention(layer + ".attention", width, width)
                if index >= fusion {
                    attention(
                        layer + ".crossattention", width, source, ownKeysValues: !pairs || (index - fusion) % 2 == 0)
                }
                linear(layer + ".intermediate.dense", 4 * width, width)
                linear(layer + ".output.dense", width, 4 * width)
                norm(layer + ".output.LayerNorm", width)
            }
        }
        func language(_ name: String) {
            linear(name + ".cls.predictions.transform.dense", c.textWidth, c.textWidth)
            norm(name + ".cls.predictions.transform.LayerNorm", c.textWidth)
            list.append(Weight(name: name + ".cls.predictions.bias", shape: [c.vocabSize], form: .plain))
        }
        list.append(Weight(name: "visual_encoder.cls_token", shape: [c.visionWidth], form: .plain))
        list.append(Weight(name: "visual_encoder.pos_embed", shape: [c.imageTokens, c.visionWidth], form: .plain))
        linear("visual_encoder.patch_embed.proj", c.visionWidth, 3 * c.patchSize * c.patchSize)
        for index in 0..<c.visionLayers {
            let block = "visual_encoder.blocks.\(index)"
            norm(block + ".norm1", c.visionWidth)
            linear(block + ".attn.qkv", 3 * c.visionWidth, c.visionWidth)
            linear(block + ".attn.proj", c.visionWidth, c.visionWidth)
            norm(block + ".norm2", c.visionWidth)
            linear(block + ".mlp.fc1", 4 * c.visionWidth, c.visionWidth)
            linear(block + ".mlp.fc2", c.visionWidth, 4 * c.visionWidth)
        }
        norm("visual_encoder.norm", c.visionWidth)
        stack("text_encoder", layers: c.textLayers, fusion: c.fusionLayer, source: c.visionWidth, pairs: classes == 2)
        if maskedLanguage { language("text_encoder") }
        if contrastive {
            linear("vision_proj", c.embedDim, c.visionWidth, .head)
            linear("text_proj", c.embedDim, c.textWidth, .head)
        }
        if matching { linear("itm_head", 2, c.textWidth, .head) }
        if answering {
            stack("text_decoder", layers: c.decoderLayers, fusion: 0, source: c.textWidth)
            language("text_decoder")
        }
        if classes > 0 {
            linear("cls_head.0", c.textWidth, c.textWidth, .head)
            linear("cls_head.2", classes, c.textWidth, .head)
        }
        return list
    }

    /// A weight with its random values, packed.
    public enum Part: Sendable {
        case plain(String, [Float], shape: [Int])
        case matrix(String, PackedMatrix)

        /// Of the tensor.
        public var name: String {
            switch self {
            case .plain(let name, _, _), .matrix(let name, _): name
            }
        }
    }

    /// The random values of a weight, row after row.
    public func values(of weight: Weight) -> [Float] {
        var numbers = RandomNumbers(seed: seed &+ weight.name.utf8.reduce(5381) { $0 &* 33 &+ UInt64($1) })
        let factor = scaled[weight.name] ?? 1
        let random = numbers.array(weight.shape.reduce(1, *))
        if weight.form == .plain {
            let isNorm = weight.name.contains("norm") || weight.name.contains("LayerNorm")
            let center: Float = isNorm && weight.name.hasSuffix("weight") ? 1 : 0
            return random.map { (center + 0.2 * $0) * factor }
        }
        let scale = factor * (3 / Float(weight.shape[1])).squareRoot() * 1.5
        return random.map { $0 * scale }
    }

    /// Makes the values of all weights.
    public func parts() -> [Part] {
        weights.map { weight in
            let shape = weight.shape
            let values = values(of: weight)
            if weight.form == .plain { return .plain(weight.name, values, shape: shape) }
            if weight.form == .matrix, precision == .int8 {
                let packed = Kernels.packInt8(values, channels: shape[0], depth: shape[1])!
                return .matrix(weight.name, .int8(packed.matrix(channels: shape[0], depth: shape[1])))
            }
            let layout = PackedLayout.float32Shape(channels: shape[0], depth: shape[1])
            let packed = Kernels.packFloat32(values, channels: shape[0], depth: shape[1])!
            let matrix = PackedFloat32Matrix(
                channels: shape[0], depth: shape[1], values: ConstantTensor(packed, shape: layout))
            return .matrix(weight.name, .float32(matrix))
        }
    }

    /// Writes the model file; `parts` spares making the values again.
    public func write(to path: String, parts: [Part]? = nil) throws {
        let writer = try ModelFileWriter(
            path: path, configuration: configuration, precision: precision, task: .pretrain,
            vocabulary: TinyModel.vocabulary, answers: answers)
        for part in parts ?? self.parts() where !omitted.contains(part.name) {
            switch part {
            case .plain(let name, let values, let shape): try writer.add(name, values, shape: shape)
            case .matrix(let name, let matrix): try writer.add(name, matrix)
            }
        }
        try writer.commit(
            provenance: Provenance(
                checkpointName: "tiny", checkpointDigest: String(repeating: "0", count: 64), exporterVersion: "test"))
    }

    /// Writes the model file where nothing else is, and removes it after `body`.
    public func withFile<Result>(parts: [Part]? = nil, _ body: (String) throws -> Result) throws -> Result {
        let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString + ".albef").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try write(to: path, parts: parts)
        return try body(path)
    }

    /// A picture of the model's size with random pixels.
    public func pixels(seed: UInt64 = 7) -> [UInt8] {
        var numbers = RandomNumbers(seed: seed)
        return (0..<3 * configuration.imageSize * configuration.imageSize).map { _ in
            UInt8(truncatingIfNeeded: numbers.bits() >> 24)
        }
    }
}

/// A deterministic source of numbers (SplitMix64).
public struct RandomNumbers: Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    /// 64 random bits.
    public mutating func bits() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Uniform in -1..<1.
    public mutating func next() -> Float { Float(Int64(bitPattern: bits()) >> 40) / Float(1 << 23) }

    /// Many of them.
    public mutating func array(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}
