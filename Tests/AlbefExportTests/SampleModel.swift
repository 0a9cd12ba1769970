import AlbefFiles
import AlbefModelFile

@testable import AlbefExport

/// A model of the smallest sizes with weights from a seed, and the checkpoints that official code would write of it.
struct SampleModel {
    var configuration: ModelConfiguration
    var heads: Set<ModelHead>
    /// Weights by their official names, with shapes.
    var tensors: [String: (shape: [Int], values: [Float])] = [:]
    var metadata: [String: String] = [:]

    static let retrievalHeads: Set<ModelHead> = [.contrastive, .matching]

    /// - Parameter width: Of image and text tokens; heads are 64 wide where it allows, and half of it elsewhere.
    init(_ name: String, heads: Set<ModelHead> = SampleModel.retrievalHeads, width: Int = 64) {
        let answering = heads.contains(.answering)
        configuration = ModelConfiguration(
            imageSize: 6, patchSize: 2, visionWidth: width, visionLayers: 2, visionHeads: max(1, width / 64),
            textWidth: width, textLayers: heads.contains(.reasoning) ? 6 : 4, fusionLayer: 2,
            textHeads: max(1, width / 64), embedDim: heads.contains(.contrastive) ? 5 : 256, vocabSize: 21,
            maxPositions: 9, decoderLayers: answering ? 2 : 0,
            gradcamLayer: heads.contains(.reasoning) ? 4 : 3, maxWords: 30,
            mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711])
        self.heads = heads
        var generator = SeededGenerator(name)
        for entry in ModelLayout(configuration, heads: heads).entries {
            let count = entry.shape.reduce(1, *)
            // Multiples of 2⁻²³ in -1…1, cheap to make in a debug build.
            let values = (0..<count).map { _ in Float(Int32(truncatingIfNeeded: generator.next()) >> 8) / 8_388_608 }
            tensors[entry.name] = (entry.shape, values)
        }
        metadata["albef.vocabulary"] = JSONValue(SampleModel.vocabulary).text
        if answering { metadata["albef.answers"] = JSONValue(["yes", "no", "two dogs"]).text }
    }

    static let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + (0..<16).map { "word\($0)" }

    /// Adds what official checkpoints hold beside the weights: second names, twins, queues, position numbers.
    mutating func addTrainingState() {
        for root in ["text_encoder.", "text_decoder."] {
            guard let bias = tensors[root + "cls.predictions.bias"] else { continue }
            tensors[root + "cls.predictions.decoder.bias"] = bias
            tensors[root + "cls.predictions.decoder.weight"] = tensors[root + "embeddings.word_embeddings.weight"]
        }
        if heads.contains(.reasoning) {
            for pair in SharedTensors.pairs(first: configuration.fusionLayer, layers: configuration.textLayers) {
                tensors[pair.alias] = tensors[pair.name]
            }
        }
        for name in Array(tensors.keys) where !name.hasPrefix("itm_head") && name != "temp" {
            var parts = name.split(separator: ".").map(String.init)
            parts[0] += "_m"
            tensors[parts.joined(separator: ".")] = tensors[name]
        }
        if heads.contains(.contrastive) {
            tensors["image_queue"] = ([5, 8], Array(repeating: .nan, count: 40))
            tensors["text_queue"] = ([5, 8], Array(repeating: 0, count: 40))
            tensors["queue_ptr"] = ([1], [0])
        }
        tensors["text_encoder.embeddings.position_ids"] = ([1, 9], (0..<9).map(Float.init))
    }

    /// Puts `bert.` where models with a language-modelling head have it.
    mutating func useLanguageModelNames() {
        for root in ["text_encoder.", "text_decoder."] where tensors[root + "cls.predictions.bias"] != nil {
            for part in ["embeddings.", "encoder."] {
                for name in Array(tensors.keys) where name.hasPrefix(root + part) {
                    tensors[root + "bert." + name.dropFirst(root.count)] = tensors.removeValue(forKey: name)
                }
            }
        }
    }

    func writeSafetensors(to path: String) throws {
        var writer = SafetensorsWriter(metadata: metadata)
        for (name, tensor) in tensors { writer.add(name, shape: tensor.shape, tensor.values) }
        try writer.write(to: path)
    }

    /// A `.pth` file; with `wrapper` as the entry `model` beside an epoch.
    func torchFile(wrapper: Bool = false) -> [UInt8] {
        let sorted = tensors.sorted { $0.key < $1.key }
        var storages: [String: [UInt8]] = [:]
        var pickle = PickleBuilder()
        func fill(_ pickle: inout PickleBuilder) {
            for (number, (name, tensor)) in sorted.enumerated() {
                storages["\(number)"] = bytes(of: tensor.values)
                pickle.text(name)
                pickle.tensor(key: "\(number)", count: tensor.values.count, shape: tensor.shape)
            }
        }
        if wrapper {
            pickle.dictionary {
                $0.text("epoch")
                $0.integer(3)
                $0.text("model")
                $0.dictionary(fill)
            }
        } else {
            pickle.dictionary(fill)
        }
        return ZipBuilder.torch(pickle.finished(), storages: storages).build()
    }
}
