import AlbefFiles
import AlbefKernels
import AlbefModelFile
import AlbefTokenizer

/// Why a model cannot be used, or a question not be answered.
public enum AlbefError: ClassifiedError {
    /// The model file cannot be opened or lacks a tensor that its configuration asks for.
    case modelFile(ModelFileError)
    /// The file's vocabulary cannot make a tokenizer.
    case vocabulary(path: String, reason: String)
    /// The task needs a head that the model does not have.
    case missingHead(path: String, head: Head, tensor: String)
    /// The task needs another classification head than the one that the model has.
    case otherClasses(path: String, head: Head, tensor: String, found: Int)
    /// A text is empty after normalisation.
    case emptyText(original: String)
    /// A text that should have a masked word has none.
    case noMask(original: String)
    /// A text is longer than the model reads, and a masked word stands in what was cut off.
    case lostMask(original: String, found: Int, kept: Int)
    /// No candidate answers are at hand: none given, and none in the file.
    case noAnswers(path: String)
    /// A candidate answer has more tokens than the decoder has positions.
    case longAnswer(String, tokens: Int, limit: Int)
    /// Pixels given as bytes are not those of a square RGB picture of the model's size.
    case pixelCount(found: Int, expected: Int)
    /// A layer for the heatmap that has no cross-attention.
    case layerOutOfRange(found: Int, valid: ClosedRange<Int>)
    /// A block for the contrastive heatmap that the image encoder does not have.
    case blockOutOfRange(found: Int, valid: ClosedRange<Int>)
    /// Inputs that do not go together.
    case conflictingInputs(String)
    /// A picture has more tokens than attention can count.
    case tooManyImageTokens(path: String, found: Int, limit: Int)
    /// The activations would need more memory than a session may take.
    case tooMuchMemory(path: String, bytes: Int, limit: Int)
    /// A stage of a forward pass gave an infinity or a NaN.
    case nonFinite(stage: String)
    /// A result could not be written.
    case file(FileError)

    public var kind: FailureKind {
        switch self {
        case .modelFile(let error): error.kind
        case .file(let error): error.kind
        case .layerOutOfRange, .blockOutOfRange, .conflictingInputs, .noMask: .usage
        case .vocabulary, .missingHead, .otherClasses, .emptyText, .lostMask, .noAnswers, .longAnswer, .pixelCount,
            .tooManyImageTokens, .tooMuchMemory, .nonFinite:
            .badData
        }
    }

    public var description: String {
        switch self {
        case .modelFile(let error): error.description
        case .file(let error): error.description
        case .vocabulary(let path, let reason): "\(singleLine(path)): the vocabulary cannot be used: \(reason)"
        case .missingHead(let path, let head, let tensor):
            "\(singleLine(path)): the model has no \(head.title) head (tensor '\(tensor)' is missing), which this task needs"
        case .otherClasses(let path, let head, let tensor, let found):
            "\(singleLine(path)): the model has no \(head.title) head, which this task needs: tensor '\(tensor)' tells \(found) classes apart, expected \(head.classes.count)"
        case .emptyText(let original):
            "the text \(quoted(original)) is empty after normalisation; give at least one letter or digit"
        case .noMask(let original):
            "the text \(quoted(original)) has no [MASK]; write it, exactly so, in the place of each word to find"
        case .lostMask(let original, let found, let kept):
            "the text \(quoted(original)) is longer than the model reads: \(found - kept) of its \(found) [MASK] were cut off"
        case .noAnswers(let path): "\(singleLine(path)): the model holds no answer list and none was given"
        case .longAnswer(let answer, let tokens, let limit):
            "the answer \(quoted(answer)) has \(tokens) tokens; the decoder takes at most \(limit)"
        case .pixelCount(let found, let expected):
            "a prepared picture has \(found) bytes, expected \(expected) (height x width x 3 of the model's image size)"
        case .layerOutOfRange(let found, let valid):
            "layer \(found) has no cross-attention; valid layers are \(valid.lowerBound) to \(valid.upperBound)"
        case .blockOutOfRange(let found, let valid):
            "the image encoder has no block \(found); valid blocks are \(valid.lowerBound) to \(valid.upperBound)"
        case .conflictingInputs(let text): text
        case .tooManyImageTokens(let path, let found, let limit):
            "\(singleLine(path)): a picture of this model has \(found) tokens; at most \(limit) are possible"
        case .tooMuchMemory(let path, let bytes, let limit):
            "\(singleLine(path)): the model needs \(bytes) bytes for its activations; at most \(limit) are allowed"
        case .nonFinite(let stage):
            "stage '\(stage)' gave a value that is not finite; the model file or its checkpoint is damaged"
        }
    }

    private func quoted(_ text: String) -> String { "'\(singleLine(text, limit: 60))'" }
}

/// An instruction set that is not there is a mistake in the command.
extension KernelError: ClassifiedError {
    public var kind: FailureKind {
        switch self {
        case .unsupportedISA: .usage
        case .nonFinite: .badData
        }
    }
}

/// A part of a model that some tasks need.
public enum Head: String, Sendable, CaseIterable {
    /// Projects picture and text to features that are compared by cosine (ITC).
    case contrastive
    /// Says whether a fused picture and text belong together (ITM).
    case matching
    /// Predicts masked words.
    case maskedLanguage = "masked-language"
    /// Generates and ranks answers.
    case answering
    /// Says whether a picture entails a sentence (SNLI-VE).
    case entailment
    /// Says whether a sentence is true of two pictures (NLVR2).
    case reasoning

    /// For messages.
    public var title: String {
        switch self {
        case .contrastive: "contrastive (vision_proj, text_proj)"
        case .matching: "matching (itm_head)"
        case .maskedLanguage: "masked-language (text_encoder.cls)"
        case .answering: "answering (text_decoder)"
        case .entailment: "entailment (cls_head with three classes)"
        case .reasoning: "reasoning (cls_head with two classes)"
        }
    }

    /// A tensor that a file holds when it has the head. The two classification heads share one, and are told apart by its
    /// number of outputs.
    public var keyTensor: String {
        switch self {
        case .contrastive: "vision_proj.weight"
        case .matching: "itm_head.weight"
        case .maskedLanguage: "text_encoder.cls.predictions.transform.dense.weight"
        case .answering: "text_decoder.embeddings.word_embeddings.weight"
        case .entailment, .reasoning: "cls_head.2.weight"
        }
    }

    /// What a classification head tells apart, in the order of its outputs; empty for the other heads.
    public var classes: [String] {
        switch self {
        case .entailment: ["contradiction", "neutral", "entailment"]
        case .reasoning: ["false", "true"]
        case .contrastive, .matching, .maskedLanguage, .answering: []
        }
    }
}

/// The revision of the arithmetic that this runtime computes: the same model file and the same revision give the same
/// bytes on every machine.
public enum Arithmetic {
    /// Raised with every change of result bytes; recorded digests belong to one revision.
    public static let revision = 4
}
