import AlbefKernels
import AlbefLayers
import AlbefModelFile
import AlbefTensor
import AlbefTokenizer

/// A model opened from a file: its weights as they lie in the mapped file, its tokenizer, and which tasks it can do.
///
/// Immutable and shared: many sessions may compute with one model at the same time. Opening checks that every tensor the
/// configuration asks for is there with its shape, and copies no weight.
public struct Model: Sendable {
    /// The mapped file.
    public let file: ModelFile
    /// Splits texts into the vocabulary's pieces.
    public let tokenizer: WordPieceTokenizer
    /// The heads that the file holds.
    public let heads: Set<Head>
    /// Pictures that a text is fused with: two for ``Head/reasoning``, else one.
    public let picturesPerText: Int

    let vision: VisionTransformer
    let text: TextEncoder
    let contrastive: ContrastiveHead?
    let matching: MatchingHead?
    let language: LanguageHead?
    let decoder: AnswerDecoder?
    let classification: ClassificationHead?

    /// Opens a `.albef` file.
    ///
    /// - Throws: ``AlbefError/modelFile(_:)`` if the file is missing, damaged or lacks a tensor;
    ///   ``AlbefError/vocabulary(path:reason:)`` if its vocabulary cannot be used;
    ///   ``AlbefError/tooManyImageTokens(path:found:limit:)``.
    public init(path: String) throws(AlbefError) {
        let file: ModelFile
        do throws(ModelFileError) { file = try ModelFile(path: path) } catch { throw .modelFile(error) }
        try self.init(file)
    }

    /// Takes a file that is open already.
    ///
    /// - Throws: As ``init(path:)``.
    public init(_ file: ModelFile) throws(AlbefError) {
        do {
            try self.init(checking: file)
        } catch let error as ModelFileError {
            throw .modelFile(error)
        } catch let error as AlbefError {
            throw error
        } catch {
            throw .vocabulary(path: file.path, reason: "\(error)")
        }
    }

    private init(checking file: ModelFile) throws {
        let configuration = file.configuration
        guard file.vocabulary.count <= configuration.vocabSize else {
            throw AlbefError.vocabulary(
                path: file.path,
                reason: "it has \(file.vocabulary.count) entries, the embeddings \(configuration.vocabSize)")
        }
        let limit = QuantizedKeysValues.maximumLength
        guard configuration.imageTokens <= limit else {
            throw AlbefError.tooManyImageTokens(path: file.path, found: configuration.imageTokens, limit: limit)
        }
        self.file = file
        tokenizer = try WordPieceTokenizer(vocabulary: file.vocabulary)
        let found = file.heads
        heads = found
        picturesPerText = found.contains(.reasoning) ? 2 : 1
        vision = try VisionTransformer(file)
        text = try TextEncoder(file, pictures: picturesPerText)
        contrastive = found.contains(.contrastive) ? try ContrastiveHead(file) : nil
        matching = found.contains(.matching) ? try MatchingHead(file) : nil
        language =
            found.contains(.maskedLanguage)
            ? try LanguageHead(file, "text_encoder.cls.predictions", words: text.embeddings.words) : nil
        decoder = found.contains(.answering) ? try AnswerDecoder(file) : nil
        let kind = [Head.entailment, .reasoning].first(where: found.contains)
        classification = try kind.map { try ClassificationHead(file, $0) }
    }

    /// Sizes, preprocessing constants and limits.
    public var configuration: ModelConfiguration { file.configuration }

    /// The error for a task whose head the file lacks.
    func missing(_ head: Head) -> AlbefError {
        if let other = file.entry(head.keyTensor), !head.classes.isEmpty {
            return .otherClasses(path: file.path, head: head, tensor: other.name, found: other.outputs)
        }
        return .missingHead(path: file.path, head: head, tensor: head.keyTensor)
    }

    /// The layers whose cross-attention a heatmap can be taken from.
    public var gradCAMLayers: ClosedRange<Int> {
        configuration.fusionLayer...max(configuration.fusionLayer, configuration.textLayers - 1)
    }

    /// The layer that was asked for, or the model's own choice (`gradcam_layer`).
    func gradCAMLayer(_ layer: Int?) throws(AlbefError) -> Int {
        let chosen = layer ?? configuration.gradcamLayer
        guard gradCAMLayers.contains(chosen) else { throw .layerOutOfRange(found: chosen, valid: gradCAMLayers) }
        return chosen
    }
}

extension ModelFile {
    /// The heads that the file holds. A classification head with two classes is that of two pictures, and its fusion layers
    /// look at them in turn; any other number is left to the entailment head to accept or refuse.
    fileprivate var heads: Set<Head> {
        Set(
            Head.allCases.filter { head in
                guard let entry = entry(head.keyTensor) else { return false }
                return switch head {
                case .reasoning: entry.outputs == head.classes.count
                case .entailment: entry.outputs != Head.reasoning.classes.count
                case .contrastive, .matching, .maskedLanguage, .answering: true
                }
            })
    }

    /// How attention over image tokens is computed: 8-bit in files of int8 precision.
    var imageAttention: AttentionArithmetic { precision == .int8 ? .int8 : .float32 }
}

extension TensorEntry {
    /// Rows of a weight matrix; 1 for a scalar.
    fileprivate var outputs: Int { shape.array.first ?? 1 }
}
