import Albef
import AlbefModelFile

/// The version that model files name as their maker.
public let exporterVersion = albefVersion

/// What to export, and how.
public struct ExportOptions: Sendable {
    // The command sees these types only through this module.
    public typealias Precision = AlbefModelFile.Precision
    public typealias Task = ModelTask

    /// A `.pth` or `.safetensors` file.
    public var checkpoint: String
    /// The `.albef` file to write.
    public var output: String
    public var precision: Precision
    /// A label; nil to take it from the heads.
    public var task: ModelTask?
    /// JSON with configuration keys that go before metadata and tensors.
    public var configuration: String?
    /// A text file with a token a line; nil to take the vocabulary from the metadata.
    public var vocabulary: String?
    /// A JSON list of texts; nil to take the answers from the metadata.
    public var answers: String?
    /// Threads that pack, at least 1. The bytes do not depend on it.
    public var threads: Int

    public init(
        checkpoint: String, output: String, precision: Precision = .int8, task: ModelTask? = nil,
        configuration: String? = nil, vocabulary: String? = nil, answers: String? = nil, threads: Int = 1
    ) {
        self.checkpoint = checkpoint
        self.output = output
        self.precision = precision
        self.task = task
        self.configuration = configuration
        self.vocabulary = vocabulary
        self.answers = answers
        self.threads = threads
    }
}
