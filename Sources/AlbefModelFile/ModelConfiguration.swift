import AlbefFiles

/// A configuration that no model can have.
public struct ConfigurationError: ClassifiedError, Equatable {
    /// The JSON key.
    public let key: String
    public let found: String
    public let expected: String

    public var kind: FailureKind { .badData }
    public var description: String {
        "configuration: '\(singleLine(key))' is \(singleLine(found)), expected \(singleLine(expected))"
    }
}

/// The sizes of a model, and how its inputs are prepared. JSON keys are the field names in snake case.
public struct ModelConfiguration: Sendable, Equatable {
    /// Side of the square picture in pixels; a multiple of `patchSize`, at most 4096.
    public var imageSize: Int
    /// Side of a square patch in pixels.
    public var patchSize: Int
    /// Width of the image tokens; at most 8192, a multiple of `visionHeads`.
    public var visionWidth: Int
    /// Blocks of the image encoder.
    public var visionLayers: Int
    /// Attention heads of the image encoder.
    public var visionHeads: Int
    /// Width of the text tokens; at most 8192, a multiple of `textHeads`.
    public var textWidth: Int
    /// Layers of the text encoder, fusion layers included.
    public var textLayers: Int
    /// The first layer of the text encoder that attends to the picture; below `textLayers`.
    public var fusionLayer: Int
    /// Attention heads of the text encoder and of the decoder.
    public var textHeads: Int
    /// Width of the features that are compared by cosine.
    public var embedDim: Int
    /// Entries of the vocabulary: rows of the word embeddings.
    public var vocabSize: Int
    /// Rows of the text's position embeddings: the longest text in tokens.
    public var maxPositions: Int
    /// Layers of the answer decoder; 0 without one.
    public var decoderLayers: Int
    /// The text-encoder layer whose cross-attention gives heatmaps; `fusionLayer ..< textLayers`.
    public var gradcamLayer: Int
    /// Words of a caption that are kept.
    public var maxWords: Int
    /// Mean of each colour channel (red, green, blue) that is subtracted from pixels in 0…1.
    public var mean: [Float]
    /// Standard deviation of each colour channel that pixels are divided by; above 0.
    public var std: [Float]

    /// Every field as it is; see ``validate()``.
    public init(
        imageSize: Int, patchSize: Int, visionWidth: Int, visionLayers: Int, visionHeads: Int, textWidth: Int,
        textLayers: Int, fusionLayer: Int, textHeads: Int, embedDim: Int, vocabSize: Int, maxPositions: Int,
        decoderLayers: Int, gradcamLayer: Int, maxWords: Int, mean: [Float], std: [Float]
    ) {
        self.imageSize = imageSize
        self.patchSize = patchSize
        self.visionWidth = visionWidth
        self.visionLayers = visionLayers
        self.visionHeads = visionHeads
        self.textWidth = textWidth
        self.textLayers = textLayers
        self.fusionLayer = fusionLayer
        self.textHeads = textHeads
        self.embedDim = embedDim
        self.vocabSize = vocabSize
        self.maxPositions = maxPositions
        self.decoderLayers = decoderLayers
        self.gradcamLayer = gradcamLayer
        self.maxWords = maxWords
        self.mean = mean
        self.std = std
    }

    /// Patches along one side of the picture.
    public var patchGrid: Int { imageSize / patchSize }
    /// Image tokens: [CLS] and one for each patch.
    public var imageTokens: Int { patchGrid * patchGrid + 1 }
    /// Width of one attention head of the image encoder.
    public var visionHeadWidth: Int { visionWidth / visionHeads }
    /// Width of one attention head of the text encoder.
    public var textHeadWidth: Int { textWidth / textHeads }

    /// Checks every range that the fields' comments state.
    public func validate() throws(ConfigurationError) {
        for (key, field, range) in ModelConfiguration.fields {
            let value = self[keyPath: field]
            guard range.contains(value) else {
                throw ConfigurationError(
                    key: key, found: "\(value)", expected: "\(range.lowerBound) to \(range.upperBound)")
            }
        }
        try check("patch_size", patchSize, imageSize % patchSize == 0, "a divisor of image_size \(imageSize)")
        try check("vision_heads", visionHeads, visionWidth % visionHeads == 0, "a divisor of vision_width \(visionWidth)")
        try check("text_heads", textHeads, textWidth % textHeads == 0, "a divisor of text_width \(textWidth)")
        try check("fusion_layer", fusionLayer, fusionLayer < textLayers, "below text_layers \(textLayers)")
        try check(
            "gradcam_layer", gradcamLayer, fusionLayer <= gradcamLayer && gradcamLayer < textLayers,
            "\(fusionLayer) to \(textLayers - 1), a layer that attends to the picture")
        for (key, values) in [("mean", mean), ("std", std)] {
            guard values.count == 3, values.allSatisfy({ $0.isFinite && (key == "mean" || $0 > 0) }) else {
                throw ConfigurationError(
                    key: key, found: "\(values)",
                    expected: "3 finite numbers" + (key == "std" ? " above 0" : ""))
            }
        }
    }

    private func check(_ key: String, _ value: Int, _ holds: Bool, _ expected: String) throws(ConfigurationError) {
        if !holds { throw ConfigurationError(key: key, found: "\(value)", expected: expected) }
    }

    private typealias Field = WritableKeyPath<ModelConfiguration, Int> & Sendable

    /// JSON keys of the whole numbers in their order, with the range of each.
    private static let fields: [(key: String, field: Field, range: ClosedRange<Int>)] = [
        ("image_size", \.imageSize, 1...4096), ("patch_size", \.patchSize, 1...4096),
        ("vision_width", \.visionWidth, 1...8192), ("vision_layers", \.visionLayers, 1...256),
        ("vision_heads", \.visionHeads, 1...8192), ("text_width", \.textWidth, 1...8192),
        ("text_layers", \.textLayers, 1...256), ("fusion_layer", \.fusionLayer, 0...255),
        ("text_heads", \.textHeads, 1...8192), ("embed_dim", \.embedDim, 1...8192),
        ("vocab_size", \.vocabSize, 1...16_777_216), ("max_positions", \.maxPositions, 1...65_536),
        ("decoder_layers", \.decoderLayers, 0...256), ("gradcam_layer", \.gradcamLayer, 0...255),
        ("max_words", \.maxWords, 1...65_536),
    ]

    /// All JSON keys, in their order.
    public static let keys: [String] = fields.map(\.key) + ["mean", "std"]

    /// Reads and validates a JSON object that has every key, and no other.
    public init(json: JSONValue) throws(ConfigurationError) {
        guard let members = json.members else {
            throw ConfigurationError(key: "", found: json.kindName, expected: "an object")
        }
        self.init(
            imageSize: 0, patchSize: 0, visionWidth: 0, visionLayers: 0, visionHeads: 0, textWidth: 0, textLayers: 0,
            fusionLayer: 0, textHeads: 0, embedDim: 0, vocabSize: 0, maxPositions: 0, decoderLayers: 0, gradcamLayer: 0,
            maxWords: 0, mean: [], std: [])
        for member in members where !ModelConfiguration.keys.contains(member.key) {
            throw ConfigurationError(key: member.key, found: "there", expected: "no such key")
        }
        for (key, field, _) in ModelConfiguration.fields {
            guard let value = json[key]?.int else {
                throw ConfigurationError(key: key, found: json[key]?.text ?? "missing", expected: "a whole number")
            }
            self[keyPath: field] = value
        }
        mean = try ModelConfiguration.floats("mean", json)
        std = try ModelConfiguration.floats("std", json)
        try validate()
    }

    private static func floats(_ key: String, _ json: JSONValue) throws(ConfigurationError) -> [Float] {
        let values = (json[key]?.array ?? []).compactMap(\.float)
        guard values.count == 3, json[key]?.array?.count == 3 else {
            throw ConfigurationError(key: key, found: json[key]?.text ?? "missing", expected: "an array of 3 numbers")
        }
        return values
    }

    /// The JSON object that ``init(json:)`` reads.
    public var json: JSONValue {
        let numbers = ModelConfiguration.fields.map { JSONMember($0.key, JSONValue(self[keyPath: $0.field])) }
        return .object(numbers + [JSONMember("mean", JSONValue(mean)), JSONMember("std", JSONValue(std))])
    }
}
