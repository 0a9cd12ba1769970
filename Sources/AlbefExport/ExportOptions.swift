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
    /// The side of the square picture in pixels, for another resolution than the checkpoint's; nil to keep that one. Position
    /// embeddings are then interpolated as the official code does when it loads a checkpoint.
    public var imageSize: Int?
    /// A folder of pictures, with a `captions.json` where there are texts, on which quantisation is measured; nil to quantise
    /// every matrix as it is. See ``CalibrationFolder``.
    public var calibration: String?
    /// Threads that pack, at least 1. The bytes do not depend on it.
    public var threads: Int

    public init(
        checkpoint: String, output: String, precision: Precision = .int8, task: ModelTask? = nil,
        configuration: String? = nil, vocabulary: String? = nil, answers: String? = nil, imageSize: Int? = nil,
        calibration: String? = nil, threads: Int = 1
    ) {
        self.checkpoint = checkpoint
        self.output = output
        self.precision = precision
        self.task = task
        self.configuration = configuration
        self.vocabulary = vocabulary
        self.answers = answers
        self.imageSize = imageSize
        self.calibration = calibration
        self.threads = threads
    }
}
