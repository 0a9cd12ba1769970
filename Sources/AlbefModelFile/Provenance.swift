import AlbefFiles

/// How the matrices of a model are stored.
public enum Precision: String, Sendable, CaseIterable {
    /// Int8 with one scale an output channel, except for the small heads.
    case int8
    /// Float32 throughout.
    case float32
}

/// What a model was trained for. Only a label: commands are allowed by the heads that a model has.
public enum ModelTask: String, Sendable, CaseIterable {
    case pretrain, retrieval, grounding, vqa, entailment, nlvr
}

/// Where a model comes from.
public struct Provenance: Sendable, Equatable {
    /// The checkpoint's file name, without folders.
    public let checkpointName: String
    /// SHA-256 of the checkpoint file as 64 hexadecimal digits.
    public let checkpointDigest: String
    /// Version of the exporter that wrote the model.
    public let exporterVersion: String
    /// What the exporter reports of quantisation, summed up; any JSON.
    public let report: JSONValue

    public init(checkpointName: String, checkpointDigest: String, exporterVersion: String, report: JSONValue = .null) {
        self.checkpointName = checkpointName
        self.checkpointDigest = checkpointDigest
        self.exporterVersion = exporterVersion
        self.report = report
    }

    var json: JSONValue {
        [
            "checkpoint_name": .string(checkpointName), "checkpoint_sha256": .string(checkpointDigest),
            "exporter_version": .string(exporterVersion), "report": report,
        ]
    }

    /// nil where a text is missing. Other members are for people, and are not read.
    init?(json: JSONValue) {
        guard let name = json["checkpoint_name"]?.string, let digest = json["checkpoint_sha256"]?.string,
            let version = json["exporter_version"]?.string
        else { return nil }
        self.init(
            checkpointName: name, checkpointDigest: digest, exporterVersion: version, report: json["report"] ?? .null)
    }
}
