import AlbefFiles
import AlbefModelFile

/// Settings from a file or from a checkpoint's metadata.
struct ConfigurationSource: Sendable {
    /// Where they come from, for messages.
    let name: String
    let values: JSONValue

    /// Metadata key of a safetensors checkpoint.
    static let metadataKey = "albef.config"

    /// The sources in order of precedence: the file, then the metadata.
    ///
    /// - Throws: ``ExportError/badConfiguration(source:reason:)`` if one is no JSON object, or if the file has a key that no
    ///   configuration has.
    static func all(path: String?, checkpoint: any Checkpoint) throws(ExportError) -> [ConfigurationSource] {
        var sources: [ConfigurationSource] = []
        if let path {
            let bytes = try fileOperation { () throws(FileError) in try readFile(path, limit: 1 << 20) }
            let source = try ConfigurationSource(name: path, text: bytes)
            for member in source.values.members ?? [] where !ModelConfiguration.keys.contains(member.key) {
                throw .badConfiguration(
                    source: path,
                    reason: "unknown key '\(member.key)'; known are \(ModelConfiguration.keys.joined(separator: ", "))")
            }
            sources.append(source)
        }
        if let text = checkpoint.metadata[metadataKey] {
            sources.append(
                try ConfigurationSource(name: "\(checkpoint.path), metadata '\(metadataKey)'", text: Array(text.utf8)))
        }
        return sources
    }

    private init(name: String, text: [UInt8]) throws(ExportError) {
        self.name = name
        do { values = try JSONValue(parsing: text) } catch {
            throw .badConfiguration(source: name, reason: error.description)
        }
        guard values.members != nil else {
            throw .badConfiguration(source: name, reason: "\(values.kindName), expected an object")
        }
    }
}

/// The configuration of a model, from settings and tensors.
enum ConfigurationResolution {
    /// Keys whose values the tensors tell. They do not tell heads, the layer of heatmaps, words and preprocessing.
    private static let sizeKeys = [
        "image_size", "patch_size", "vision_width", "vision_layers", "text_width", "text_layers", "fusion_layer",
        "embed_dim", "vocab_size", "max_positions", "decoder_layers",
    ]

    /// Constants of CLIP's preprocessing, which ALBEF uses (`dataset/__init__.py`).
    private static let mean: [Float] = [0.481_454_66, 0.457_827_5, 0.408_210_73]
    private static let deviation: [Float] = [0.268_629_54, 0.261_302_58, 0.275_777_11]

    /// Each key from the first source that has it, else from the tensors, else the official default.
    ///
    /// - Throws: ``ExportError/contradiction(key:source:value:path:evidence:implied:)`` if a setting and the tensors differ,
    ///   and what is wrong with a value or with the tensors.
    static func resolve(_ inference: ConfigurationInference, _ sources: [ConfigurationSource], path: String)
        throws(ExportError) -> ModelConfiguration
    {
        var values: [String: Int] = [:]
        for key in sizeKeys {
            let implied = inference[key]
            // Settings of a family of models name sizes of heads that this one may lack.
            let applies = key != "decoder_layers" || inference.heads.contains(.answering)
            if applies, let (source, value) = try setting(key, sources) {
                if let implied, implied.value != value {
                    throw .contradiction(
                        key: key, source: source, value: String(value), path: path, evidence: implied.evidence,
                        implied: String(implied.value))
                }
                values[key] = value
            } else {
                values[key] = implied?.value
            }
        }
        // A model without projections has no such width; the official one keeps the configuration complete.
        if values["embed_dim"] == nil, !inference.heads.contains(.contrastive) { values["embed_dim"] = 256 }
        func size(_ key: String) throws(ExportError) -> Int {
            guard let value = values[key] else { throw .missingTensors(path: path, names: inference.missing) }
            return value
        }
        var members: [JSONMember] = []
        for key in sizeKeys { members.append(JSONMember(key, JSONValue(try size(key)))) }
        members.append(JSONMember("vision_heads", JSONValue(try heads("vision_heads", try size("vision_width"), sources))))
        members.append(JSONMember("text_heads", JSONValue(try heads("text_heads", try size("text_width"), sources))))
        let layer = min(try size("fusion_layer") + 2, try size("text_layers") - 1)
        members.append(JSONMember("gradcam_layer", JSONValue(try setting("gradcam_layer", sources)?.value ?? layer)))
        members.append(JSONMember("max_words", JSONValue(try setting("max_words", sources)?.value ?? 30)))
        members.append(JSONMember("mean", first("mean", sources) ?? JSONValue(mean)))
        members.append(JSONMember("std", first("std", sources) ?? JSONValue(deviation)))
        do { return try ModelConfiguration(json: .object(members)) } catch {
            // Named after where the value came from.
            let source = sources.first { $0.values[error.key] != nil }?.name ?? path
            throw .badConfiguration(source: source, reason: error.description)
        }
    }

    /// The same model for pictures of another size, of which the patch size must be a divisor.
    ///
    /// - Throws: ``ExportError/imageSize(found:patch:)``.
    static func resized(_ configuration: ModelConfiguration, to size: Int?) throws(ExportError) -> ModelConfiguration {
        guard let size else { return configuration }
        guard size > 0, size <= 4096, size % configuration.patchSize == 0 else {
            throw .imageSize(found: size, patch: configuration.patchSize)
        }
        var result = configuration
        result.imageSize = size
        return result
    }

    /// Heads of 64, as in every published size, unless a setting says otherwise.
    private static func heads(_ key: String, _ width: Int, _ sources: [ConfigurationSource]) throws(ExportError) -> Int {
        if let found = try setting(key, sources) { return found.value }
        guard width % 64 == 0 else { throw .headsUnknown(key: key, width: width) }
        return width / 64
    }

    private static func setting(_ key: String, _ sources: [ConfigurationSource]) throws(ExportError)
        -> (source: String, value: Int)?
    {
        for source in sources {
            guard let found = source.values[key] else { continue }
            guard let value = found.int else {
                throw .badConfiguration(source: source.name, reason: "\(key) is \(found.text), expected a whole number")
            }
            return (source.name, value)
        }
        return nil
    }

    private static func first(_ key: String, _ sources: [ConfigurationSource]) -> JSONValue? {
        for source in sources {
            if let value = source.values[key] { return value }
        }
        return nil
    }
}
