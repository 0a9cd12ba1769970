/// What a name in a checkpoint stands for.
enum CheckpointKey: Equatable {
    /// A weight, under the name that model files use.
    case weight(String)
    /// A momentum copy of a weight.
    case twin
    /// A queue of features, its pointer or its ids.
    case queue
    /// The buffer 0, 1, 2… that BERT keeps.
    case positionIDs
}

/// The names of official checkpoints, wrapped by DistributedDataParallel or not.
///
/// Model files use the names of fine-tuned models: the BERT body stands under `text_encoder.` and `text_decoder.` alike,
/// without the `bert.` that models with a language-modelling head put there.
///
/// Source: ALBEF `Retrieval.py`, `VQA.py` (deletion of `bert.`); `models/model_pretrain.py` (twins, queues).
enum KeyRules {
    static let queues: Set<String> = ["image_queue", "text_queue", "idx_queue", "queue_ptr", "ptr_queue"]

    static func classify(_ name: String) -> CheckpointKey {
        var name = name
        if name.hasPrefix("module.") { name.removeFirst("module.".count) }
        if queues.contains(name) { return .queue }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        if parts[0].hasSuffix("_m") { return .twin }
        if parts.last == "position_ids" { return .positionIDs }
        return .weight(parts.filter { $0 != "bert" }.joined(separator: "."))
    }
}

/// Tensors that ALBEF uses in two places. A checkpoint may hold both names or one of them; a model file holds one.
enum SharedTensors {
    /// The decoder of a language-modelling head is the word embeddings again, and its bias has two names.
    static func languageHead(_ root: String) -> [(alias: String, name: String)] {
        let head = root + "cls.predictions."
        return [
            (head + "decoder.weight", root + "embeddings.word_embeddings.weight"), (head + "decoder.bias", head + "bias"),
        ]
    }

    /// With two pictures the fusion layers form pairs, one for each picture, that share the keys and values of
    /// cross-attention. They stand under the pair's first layer.
    static func pairs(first: Int, layers: Int) -> [(alias: String, name: String)] {
        stride(from: first, to: layers - 1, by: 2).flatMap { layer in
            ["key.weight", "key.bias", "value.weight", "value.bias"].map { part in
                let name = { (number: Int) in "text_encoder.encoder.layer.\(number).crossattention.self.\(part)" }
                return (name(layer + 1), name(layer))
            }
        }
    }
}

/// A checkpoint's weights under the names of model files, and what was passed over.
struct WeightIndex: Sendable {
    let checkpoint: any Checkpoint
    /// The source of each weight.
    private(set) var weights: [String: CheckpointTensor] = [:]
    private(set) var twins = 0
    private(set) var queues = 0
    private(set) var positionIDs = 0
    /// Second names of shared tensors.
    private(set) var tied = 0

    /// - Throws: ``ExportError/tiedTensorsDiffer(path:first:second:)`` if a weight is there with `bert.` and without it, and
    ///   the two differ.
    init(_ checkpoint: any Checkpoint) throws(ExportError) {
        self.checkpoint = checkpoint
        for tensor in checkpoint.tensors {
            switch KeyRules.classify(tensor.name) {
            case .twin: twins += 1
            case .queue: queues += 1
            case .positionIDs: positionIDs += 1
            case .weight(let name):
                if let other = weights[name] {
                    tied += 1
                    try requireEqual(other, tensor)
                } else {
                    weights[name] = tensor
                }
            }
        }
    }

    subscript(_ name: String) -> CheckpointTensor? { weights[name] }

    /// True if some weight's name begins so.
    func contains(prefix: String) -> Bool { weights.keys.contains { $0.hasPrefix(prefix) } }

    /// One more than the highest layer number behind `prefix`; 0 if there is none.
    func layerCount(_ prefix: String) -> Int { (layerNumbers(prefix, containing: "").max() ?? -1) + 1 }

    /// The numbers of the layers behind `prefix` that have a weight with `part` in its name.
    func layerNumbers(_ prefix: String, containing part: String) -> Set<Int> {
        var numbers: Set<Int> = []
        for name in weights.keys where name.hasPrefix(prefix) && (part.isEmpty || name.contains(part)) {
            // A number that no model has is a stray name, not a layer.
            if let number = Int(name.dropFirst(prefix.count).prefix { $0 != "." }), (0..<1000).contains(number) {
                numbers.insert(number)
            }
        }
        return numbers
    }

    /// Gives every shared tensor one name; see ``SharedTensors``.
    ///
    /// - Throws: ``ExportError/tiedTensorsDiffer(path:first:second:)`` if two names of one tensor have different contents.
    mutating func mergeSharedTensors() throws(ExportError) {
        for pair in SharedTensors.languageHead("text_encoder.") + SharedTensors.languageHead("text_decoder.") {
            try merge(pair)
        }
        let layers = "text_encoder.encoder.layer."
        guard weights["cls_head.2.weight"]?.shape.first == 2,
            let first = layerNumbers(layers, containing: ".crossattention.").min()
        else { return }
        for pair in SharedTensors.pairs(first: first, layers: layerCount(layers)) { try merge(pair) }
    }

    private mutating func merge(_ pair: (alias: String, name: String)) throws(ExportError) {
        guard let second = weights.removeValue(forKey: pair.alias) else { return }
        guard let first = weights[pair.name] else {
            weights[pair.name] = second
            return
        }
        tied += 1
        try requireEqual(first, second)
    }

    private func requireEqual(_ first: CheckpointTensor, _ second: CheckpointTensor) throws(ExportError) {
        if checkpoint.areSameMemory(first.name, second.name) { return }
        // Compared as bits: a NaN is reported by the check of the weight itself.
        guard first.shape == second.shape,
            try zip(checkpoint.floats(first.name), checkpoint.floats(second.name)).allSatisfy({
                $0.bitPattern == $1.bitPattern
            })
        else { throw .tiedTensorsDiffer(path: checkpoint.path, first: first.name, second: second.name) }
    }
}
