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

    let vision: VisionTransformer
    let text: TextEncoder
    let contrastive: ContrastiveHead?
    let matching: MatchingHead?
    let language: LanguageHead?
    let decoder: AnswerDecoder?

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
        let found = Set(Head.allCases.filter { file.contains($0.keyTensor) })
        heads = found
        vision = try VisionTransformer(file)
        text = try TextEncoder(file)
        contrastive = found.contains(.contrastive) ? try ContrastiveHead(file) : nil
        matching = found.contains(.matching) ? try MatchingHead(file) : nil
        language =
            found.contains(.maskedLanguage)
            ? try LanguageHead(file, "text_encoder.cls.predictions", words: text.embeddings.words) : nil
        decoder = found.contains(.answering) ? try AnswerDecoder(file) : nil
    }

    /// Sizes, preprocessing constants and limits.
    public var configuration: ModelConfiguration { file.configuration }

    /// The error for a task whose head the file lacks.
    func missing(_ head: Head) -> AlbefError {
        .missingHead(path: file.path, head: head, tensor: head.keyTensor)
    }

    /// The layers whose cross-attention a heatmap can be taken from.
    public var gradCAMLayers: ClosedRange<Int> {
        configuration.fusionLayer...max(configuration.fusionLayer, configuration.textLayers - 1)
    }
}

extension ModelFile {
    /// How attention over image tokens is computed: 8-bit in files of int8 precision.
    var imageAttention: AttentionArithmetic { precision == .int8 ? .int8 : .float32 }
}
