import AlbefModelFile

/// How a weight lies in a model file.
enum WeightForm: Sendable, Equatable {
    /// A matrix that the kernels multiply by or look rows up in, packed; int8 where the precision says so.
    case matrix(channels: Int, depth: Int)
    /// A matrix of a small head: packed, float32 in either precision.
    case headMatrix(channels: Int, depth: Int)
    /// Plain float32 numbers.
    case plain([Int])
}

/// A weight of a model.
struct LayoutEntry: Sendable, Equatable {
    /// Its name in the model file.
    let name: String
    /// Its shape in the checkpoint.
    let shape: [Int]
    let form: WeightForm
}

/// A part of the model that only some tasks have.
enum ModelHead: String, Sendable, CaseIterable {
    /// `vision_proj`, `text_proj`, `temp`: image-text similarity.
    case contrastive
    /// `itm_head`: whether picture and text belong together.
    case matching
    /// `text_encoder.cls`: words for `[MASK]`.
    case maskedLanguage = "masked-language"
    /// `text_decoder`: answers to questions.
    case answering
    /// `cls_head` with three classes: visual entailment.
    case entailment
    /// `cls_head` with two classes: reasoning over two pictures.
    case reasoning
}

/// All weights of a model, each tensor once, in the order in which a model file holds them.
///
/// Source: the state dicts of ALBEF's `models/vit.py` and `models/xbert.py`. The feed-forward layers are four times as wide
/// as the tokens.
struct ModelLayout {
    private(set) var entries: [LayoutEntry] = []
    private let configuration: ModelConfiguration

    init(_ configuration: ModelConfiguration, heads: Set<ModelHead>) {
        self.configuration = configuration
        let width = configuration.textWidth
        addVision()
        addBERT(
            "text_encoder.", layers: configuration.textLayers, fusionLayer: configuration.fusionLayer,
            encoderWidth: configuration.visionWidth)
        if heads.contains(.maskedLanguage) { addLanguageHead("text_encoder.") }
        if heads.contains(.contrastive) {
            addHead("vision_proj", configuration.embedDim, configuration.visionWidth)
            addHead("text_proj", configuration.embedDim, width)
            add("temp", plain: [])
        }
        if heads.contains(.matching) { addHead("itm_head", 2, width) }
        if heads.contains(.answering) {
            addBERT("text_decoder.", layers: configuration.decoderLayers, fusionLayer: 0, encoderWidth: width)
            addLanguageHead("text_decoder.")
        }
        if heads.contains(.entailment) || heads.contains(.reasoning) {
            addHead("cls_head.0", width, width)
            addHead("cls_head.2", heads.contains(.entailment) ? 3 : 2, width)
        }
        if heads.contains(.reasoning) {
            let second = Set(
                SharedTensors.pairs(first: configuration.fusionLayer, layers: configuration.textLayers).map(\.alias))
            entries.removeAll { second.contains($0.name) }
        }
    }

    private mutating func addVision() {
        let width = configuration.visionWidth
        let patch = configuration.patchSize
        let root = "visual_encoder."
        entries.append(
            LayoutEntry(name: root + "cls_token", shape: [1, 1, width], form: .plain([width])))
        entries.append(
            LayoutEntry(
                name: root + "pos_embed", shape: [1, configuration.imageTokens, width],
                form: .plain([configuration.imageTokens, width])))
        entries.append(
            LayoutEntry(
                name: root + "patch_embed.proj.weight", shape: [width, 3, patch, patch],
                form: .matrix(channels: width, depth: 3 * patch * patch)))
        add(root + "patch_embed.proj.bias", plain: [width])
        for layer in 0..<configuration.visionLayers {
            let block = root + "blocks.\(layer)."
            addNorm(block + "norm1", width)
            addLinear(block + "attn.qkv", 3 * width, width)
            addLinear(block + "attn.proj", width, width)
            addNorm(block + "norm2", width)
            addLinear(block + "mlp.fc1", 4 * width, width)
            addLinear(block + "mlp.fc2", width, 4 * width)
        }
        addNorm(root + "norm", width)
    }

    private mutating func addBERT(_ root: String, layers: Int, fusionLayer: Int, encoderWidth: Int) {
        let width = configuration.textWidth
        addMatrix(root + "embeddings.word_embeddings.weight", configuration.vocabSize, width)
        add(root + "embeddings.position_embeddings.weight", plain: [configuration.maxPositions, width])
        add(root + "embeddings.token_type_embeddings.weight", plain: [2, width])
        addNorm(root + "embeddings.LayerNorm", width)
        for number in 0..<layers {
            let layer = root + "encoder.layer.\(number)."
            addAttention(layer + "attention.", keyWidth: width)
            if number >= fusionLayer { addAttention(layer + "crossattention.", keyWidth: encoderWidth) }
            addLinear(layer + "intermediate.dense", 4 * width, width)
            addLinear(layer + "output.dense", width, 4 * width)
            addNorm(layer + "output.LayerNorm", width)
        }
    }

    private mutating func addAttention(_ root: String, keyWidth: Int) {
        let width = configuration.textWidth
        addLinear(root + "self.query", width, width)
        addLinear(root + "self.key", width, keyWidth)
        addLinear(root + "self.value", width, keyWidth)
        addLinear(root + "output.dense", width, width)
        addNorm(root + "output.LayerNorm", width)
    }

    /// The language-modelling head, whose decoder is the word embeddings again; see ``SharedTensors``.
    private mutating func addLanguageHead(_ root: String) {
        let head = root + "cls.predictions."
        addLinear(head + "transform.dense", configuration.textWidth, configuration.textWidth)
        addNorm(head + "transform.LayerNorm", configuration.textWidth)
        add(head + "bias", plain: [configuration.vocabSize])
    }

    private mutating func addLinear(_ name: String, _ outputs: Int, _ inputs: Int) {
        addMatrix(name + ".weight", outputs, inputs)
        add(name + ".bias", plain: [outputs])
    }

    private mutating func addHead(_ name: String, _ outputs: Int, _ inputs: Int) {
        entries.append(
            LayoutEntry(
                name: name + ".weight", shape: [outputs, inputs], form: .headMatrix(channels: outputs, depth: inputs)))
        add(name + ".bias", plain: [outputs])
    }

    private mutating func addNorm(_ name: String, _ width: Int) {
        add(name + ".weight", plain: [width])
        add(name + ".bias", plain: [width])
    }

    private mutating func addMatrix(_ name: String, _ channels: Int, _ depth: Int) {
        entries.append(LayoutEntry(name: name, shape: [channels, depth], form: .matrix(channels: channels, depth: depth)))
    }

    private mutating func add(_ name: String, plain shape: [Int]) {
        entries.append(LayoutEntry(name: name, shape: shape, form: .plain(shape)))
    }
}
