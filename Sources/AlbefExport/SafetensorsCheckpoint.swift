import AlbefFiles

/// A `.safetensors` file. Its metadata may carry `albef.config`, `albef.vocabulary`, `albef.answers` and `albef.task`.
struct SafetensorsCheckpoint: Checkpoint {
    let path: String
    let tensors: [CheckpointTensor]
    private let file: SafetensorsFile
    private let types: [String: CheckpointElementType]

    var format: String { "safetensors" }
    var metadata: [String: String] { file.metadata }

    init(path: String) throws(ExportError) {
        let file = try fileOperation { () throws(FileError) in try SafetensorsFile(path: path) }
        self.path = path
        self.file = file
        var tensors: [CheckpointTensor] = []
        for name in file.names {
            // A type that is not known, such as an 8-bit float, cannot be a weight; its tensor is passed over.
            guard let entry = file[name], let type = CheckpointElementType(rawValue: entry.dtype.rawValue) else {
                continue
            }
            tensors.append(CheckpointTensor(name: name, type: type, shape: entry.shape))
        }
        self.tensors = tensors
        types = Dictionary(tensors.map { ($0.name, $0.type) }, uniquingKeysWith: { first, _ in first })
    }

    func floats(_ name: String) throws(ExportError) -> [Float] {
        guard let type = types[name] else { throw .malformed(path: path, field: name, reason: "no such tensor") }
        guard type.isFloatingPoint else { throw .notFloatingPoint(path: path, tensor: name, type: type) }
        return try fileOperation { () throws(FileError) in try file.floats(name) }
    }

    /// No two tensors of the format share bytes.
    func areSameMemory(_ first: String, _ second: String) -> Bool { first == second }
}
