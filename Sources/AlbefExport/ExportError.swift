import Albef
import AlbefFiles
import AlbefKernels
import AlbefModelFile

/// Why a checkpoint cannot be exported.
public enum ExportError: ClassifiedError, Equatable {
    /// A file cannot be read or written, or is not what its format says.
    case file(FileError)
    /// A part of a file is damaged or of a kind that is not read.
    case malformed(path: String, field: String, reason: String)
    /// A weight is stored as integers.
    case notFloatingPoint(path: String, tensor: String, type: CheckpointElementType)
    /// Tensors that the model needs are not there; all of them.
    case missingTensors(path: String, names: [String])
    case wrongShape(path: String, tensor: String, found: [Int], expected: [Int])
    /// A weight is infinite or not a number.
    case nonFinite(path: String, tensor: String)
    /// Two names of one tensor have different contents.
    case tiedTensorsDiffer(path: String, first: String, second: String)
    /// A setting says one thing, and the tensors another.
    case contradiction(key: String, source: String, value: String, path: String, evidence: String, implied: String)
    /// The number of heads cannot be told from a width.
    case headsUnknown(key: String, width: Int)
    /// A setting is unknown, or has a value that cannot be.
    case badConfiguration(source: String, reason: String)
    /// The vocabulary is not given or does not fit.
    case vocabulary(source: String, reason: String)
    case missingVocabulary(path: String)
    /// The answer list is not given or does not fit.
    case answers(source: String, reason: String)
    case missingAnswers(path: String)
    /// No head of a known task is in the checkpoint.
    case noHead(path: String)
    /// The task that the user names needs heads that the checkpoint lacks.
    case missingHead(path: String, task: String, heads: [String])
    /// The checkpoint of NLVR2's text assignment, which serves training only.
    case textAssignment(path: String)
    /// A picture size that the patches do not divide.
    case imageSize(found: Int, patch: Int)
    /// A calibration without quantisation.
    case nothingToCalibrate
    /// The calibration folder holds nothing that can be used.
    case calibration(path: String, reason: String)
    /// A model fails on a calibration case, or cannot be opened.
    case model(kind: FailureKind, message: String)
    /// The kernels cannot be used as asked.
    case kernels(KernelError)
    /// The output is also an input.
    case outputIsInput(path: String)
    /// The model file cannot be written.
    case modelFile(ModelFileError)

    public var kind: FailureKind {
        switch self {
        case .file(let error): error.kind
        case .modelFile(let error): error.kind
        case .model(let kind, _): kind
        case .kernels(let error): error.kind
        case .imageSize, .nothingToCalibrate: .usage
        case .headsUnknown, .missingVocabulary, .missingAnswers, .outputIsInput: .usage
        default: .badData
        }
    }

    /// One line: names and texts from files are escaped.
    public var description: String { singleLine(message, limit: 2000) }

    /// What a report says of the failure where a line has no room for it: every missing tensor. Nil for other failures.
    public var report: JSONValue? {
        guard case .missingTensors(let path, let names) = self else { return nil }
        return ["error": .string(description), "checkpoint": ["path": .string(path)], "missing": JSONValue(names)]
    }

    private var message: String {
        switch self {
        case .file(let error): error.description
        case .malformed(let path, let field, let reason): "\(path): \(field): \(reason)"
        case .notFloatingPoint(let path, let tensor, let type):
            "\(path): tensor '\(tensor)' has type \(type.rawValue), expected F32, F16, BF16 or F64"
        case .missingTensors(let path, let names):
            "\(path): \(names.count) of the model's tensors \(names.count == 1 ? "is" : "are") missing: "
                + names.prefix(4).map { "'\($0)'" }.joined(separator: ", ")
                + (names.count > 4 ? " and \(names.count - 4) more" : "")
        case .wrongShape(let path, let tensor, let found, let expected):
            "\(path): tensor '\(tensor)' has shape \(found), expected \(expected)"
        case .nonFinite(let path, let tensor):
            "\(path): tensor '\(tensor)' holds a value that is infinite or not a number"
        case .tiedTensorsDiffer(let path, let first, let second):
            "\(path): tensors '\(first)' and '\(second)' are one tensor in ALBEF, but differ here"
        case .contradiction(let key, let source, let value, let path, let evidence, let implied):
            "\(source): \(key) is \(value), but \(evidence) of \(path) says \(implied)"
                + (key == "image_size" ? "; for another resolution give --image-size" : "")
        case .headsUnknown(let key, let width):
            "\(key) cannot be told from a width of \(width), which is no multiple of 64; give it with --config"
        case .badConfiguration(let source, let reason): "\(source): \(reason)"
        case .vocabulary(let source, let reason): "\(source): vocabulary: \(reason)"
        case .missingVocabulary(let path): "\(path) carries no vocabulary; give one with --vocab vocab.txt"
        case .answers(let source, let reason): "\(source): answers: \(reason)"
        case .missingAnswers(let path): "\(path) carries no list of answers; give one with --answers answers.json"
        case .noHead(let path):
            "\(path): no head of a known task: expected 'itm_head.weight' (pre-training, retrieval, grounding), "
                + "'text_decoder.…' (VQA) or 'cls_head.2.weight' (entailment, NLVR2)"
        case .missingHead(let path, let task, let heads):
            "\(path): task \(task) needs heads that the checkpoint lacks: \(heads.joined(separator: ", "))"
        case .textAssignment(let path):
            "\(path): the checkpoint of NLVR2's text-assignment pre-training ('ta_head.…'), which answers nothing yet; "
                + "fine-tune it on NLVR2 with the trainer, then export the result"
        case .imageSize(let found, let patch):
            "--image-size is \(found), expected a multiple of the patch size \(patch), at most 4096"
        case .nothingToCalibrate: "--calibrate chooses what is quantised; leave it out with --precision float32"
        case .calibration(let path, let reason): "\(path): \(reason)"
        case .model(_, let message): message
        case .kernels(let error): error.description
        case .outputIsInput(let path): "\(path): the output would replace an input"
        case .modelFile(let error): error.description
        }
    }
}
