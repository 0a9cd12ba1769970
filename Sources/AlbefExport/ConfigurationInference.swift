/// A size of the model that the tensors tell.
struct InferredValue: Sendable, Equatable {
    /// The configuration's key.
    let key: String
    let value: Int
    /// Which tensor says so, for messages.
    let evidence: String
}

/// What the tensors of a checkpoint tell about the model.
struct ConfigurationInference: Sendable {
    /// Sizes in the order of the configuration's keys.
    private(set) var values: [InferredValue] = []
    /// Tensors that should have told a size, and are not there.
    private(set) var missing: [String] = []
    /// The heads that are there, at least in part.
    let heads: Set<ModelHead>

    private let index: WeightIndex

    /// - Throws: ``ExportError/noHead(path:)``; ``ExportError/malformed(path:field:reason:)`` if a tensor has a shape that no
    ///   model has.
    init(_ index: WeightIndex) throws(ExportError) {
        self.index = index
        heads = ConfigurationInference.findHeads(index)
        let answers: Set<ModelHead> = [.matching, .answering, .entailment, .reasoning]
        // NLVR2's text assignment keeps the projections, and a head that only its own training asks.
        if index.contains(prefix: "ta_head."), heads.isDisjoint(with: answers) {
            throw .textAssignment(path: index.checkpoint.path)
        }
        guard !heads.isDisjoint(with: answers) else {
            throw .noHead(path: index.checkpoint.path)
        }
        try inferVision()
        try inferText()
        if heads.contains(.contrastive), let shape = try shape("vision_proj.weight", rank: 2) {
            record("embed_dim", shape[0], "vision_proj.weight", shape)
        }
        let decoderLayers = index.layerCount("text_decoder.encoder.layer.")
        values.append(
            InferredValue(
                key: "decoder_layers", value: decoderLayers,
                evidence: decoderLayers == 0 ? "the absence of 'text_decoder.encoder.layer.0.…'" : "the list of 'text_decoder.encoder.layer.…'"))
    }

    subscript(_ key: String) -> InferredValue? { values.first { $0.key == key } }

    private static func findHeads(_ index: WeightIndex) -> Set<ModelHead> {
        var heads: Set<ModelHead> = []
        if index.contains(prefix: "vision_proj.") || index.contains(prefix: "text_proj.") { heads.insert(.contrastive) }
        if index.contains(prefix: "itm_head.") { heads.insert(.matching) }
        if index.contains(prefix: "text_encoder.cls.predictions.") { heads.insert(.maskedLanguage) }
        if index.contains(prefix: "text_decoder.") { heads.insert(.answering) }
        if let classes = index["cls_head.2.weight"]?.shape.first {
            heads.insert(classes == 2 ? .reasoning : .entailment)
        }
        return heads
    }

    private mutating func inferVision() throws(ExportError) {
        let kernelName = "visual_encoder.patch_embed.proj.weight"
        let kernel = try shape(kernelName, rank: 4)
        if let kernel {
            guard kernel[1] == 3, kernel[2] == kernel[3] else {
                throw malformed(kernelName, "shape \(kernel), expected [width, 3, patch, patch]")
            }
        }
        let positionsName = "visual_encoder.pos_embed"
        if let positions = try shape(positionsName, rank: 3), let kernel {
            let patches = positions[1] - 1
            let grid = (1...4096).first { $0 * $0 >= patches } ?? 0
            guard grid * grid == patches else {
                throw malformed(positionsName, "shape \(positions): \(patches) patches are no square")
            }
            record("image_size", grid * kernel[2], positionsName, positions)
        }
        if let kernel {
            record("patch_size", kernel[2], kernelName, kernel)
            record("vision_width", kernel[0], kernelName, kernel)
        }
        recordLayers("vision_layers", "visual_encoder.blocks.")
    }

    private mutating func inferText() throws(ExportError) {
        let wordsName = "text_encoder.embeddings.word_embeddings.weight"
        let positionsName = "text_encoder.embeddings.position_embeddings.weight"
        let layers = "text_encoder.encoder.layer."
        let words = try shape(wordsName, rank: 2)
        if let words { record("text_width", words[1], wordsName, words) }
        recordLayers("text_layers", layers)
        if let first = index.layerNumbers(layers, containing: ".crossattention.").min() {
            values.append(
                InferredValue(
                    key: "fusion_layer", value: first, evidence: "the first of '\(layers)…' with cross-attention"))
        } else {
            missing.append(layers + "*.crossattention.self.query.weight")
        }
        if let words { record("vocab_size", words[0], wordsName, words) }
        if let positions = try shape(positionsName, rank: 2) {
            record("max_positions", positions[0], positionsName, positions)
        }
    }

    private mutating func recordLayers(_ key: String, _ prefix: String) {
        let count = index.layerCount(prefix)
        if count == 0 {
            missing.append(prefix + "0")
        } else {
            values.append(InferredValue(key: key, value: count, evidence: "the list of '\(prefix)…'"))
        }
    }

    private mutating func record(_ key: String, _ value: Int, _ tensor: String, _ shape: [Int]) {
        values.append(InferredValue(key: key, value: value, evidence: "tensor '\(tensor)' of shape \(shape)"))
    }

    /// The shape of a weight; nil, and noted as missing, if it is not there.
    private mutating func shape(_ name: String, rank: Int) throws(ExportError) -> [Int]? {
        guard let tensor = index[name] else {
            missing.append(name)
            return nil
        }
        guard tensor.shape.count == rank, tensor.shape.allSatisfy({ $0 > 0 }) else {
            throw malformed(tensor.name, "shape \(tensor.shape), expected \(rank) positive dimensions")
        }
        return tensor.shape
    }

    private func malformed(_ field: String, _ reason: String) -> ExportError {
        .malformed(path: index.checkpoint.path, field: field, reason: reason)
    }
}
