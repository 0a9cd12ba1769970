import AlbefKernels
import AlbefLayers
import AlbefModelFile
import AlbefTensor

/// Projects the class token of a picture or a text to a feature of unit length; features are compared by their dot product.
struct ContrastiveHead: Sendable {
    private let vision: Linear
    private let text: Linear
    /// Elements of a feature.
    let width: Int

    init(_ file: ModelFile) throws(ModelFileError) {
        let configuration = file.configuration
        width = configuration.embedDim
        vision = try Linear(file, "vision_proj", inputs: configuration.visionWidth, outputs: width)
        text = try Linear(file, "text_proj", inputs: configuration.textWidth, outputs: width)
    }

    /// Writes the feature of a picture, `[1, width]`, from its class token, `[1, vision width]`.
    func image(_ token: TensorView, to y: TensorView, in work: Workspace) { project(token, vision, to: y, in: work) }

    /// Writes the feature of a text, `[1, width]`, from its class token, `[1, text width]`.
    func text(_ token: TensorView, to y: TensorView, in work: Workspace) { project(token, text, to: y, in: work) }

    /// Writes the gradient at a picture's class token, `[1, vision width]`, of the cosine of its feature with a text's.
    ///
    /// - Parameters:
    ///   - token: `[1, vision width]`.
    ///   - text: A unit feature, `[1, width]`.
    func imageGradient(_ token: TensorView, text: TensorView, to g: TensorView, in work: Workspace) {
        work.arena.scoped {
            let projected = work.reserve(text.shape)
            let gradient = work.reserve(text.shape)
            vision(token, to: projected, in: work)
            work.kernels.l2NormalizeBackward(text, input: projected, to: gradient, in: work.arena)
            vision.backward(gradient, to: g, in: work)
        }
    }

    private func project(_ token: TensorView, _ layer: Linear, to y: TensorView, in work: Workspace) {
        work.arena.scoped {
            let projected = work.reserve(y.shape)
            layer(token, to: projected, in: work)
            work.kernels.l2Normalize(projected, to: y, in: work.arena)
        }
    }
}

/// Says from the fused class token whether picture and text belong together: logit 1 for yes, 0 for no.
struct MatchingHead: Sendable {
    private let layer: Linear

    init(_ file: ModelFile) throws(ModelFileError) {
        layer = try Linear(file, "itm_head", inputs: file.configuration.textWidth, outputs: 2)
    }

    /// Writes the logits, `[1, 2]`, of the fused class token, `[1, width]`.
    func callAsFunction(_ token: TensorView, to logits: TensorView, in work: Workspace) {
        layer(token, to: logits, in: work)
    }

    /// Writes the gradient of the match logit at the fused class token, `[1, width]`: row 1 of the weights.
    func gradient(to token: TensorView, in work: Workspace) {
        work.arena.scoped {
            let choice = work.reserve(Shape(1, 2))
            work.arena.set(0, of: choice, to: Float(0))
            work.arena.set(1, of: choice, to: Float(1))
            layer.backward(choice, to: token, in: work)
        }
    }
}

/// Tells classes apart by the fused class token: dense, ReLU, dense.
struct ClassificationHead: Sendable {
    /// ``Head/entailment`` or ``Head/reasoning``.
    let kind: Head
    private let hidden: Linear
    private let output: Linear

    init(_ file: ModelFile, _ kind: Head) throws(ModelFileError) {
        let width = file.configuration.textWidth
        self.kind = kind
        hidden = try Linear(file, "cls_head.0", inputs: width, outputs: width)
        output = try Linear(file, "cls_head.2", inputs: width, outputs: kind.classes.count)
    }

    /// The name of the logits in a trace.
    var stage: String { kind == .reasoning ? "nlvr_logits" : "entailment_logits" }

    /// Writes the logits, `[1, classes]`, of the fused class token, `[1, width]`.
    func callAsFunction(_ token: TensorView, to logits: TensorView, in work: Workspace) {
        work.arena.scoped {
            let activated = work.reserve(Shape(1, hidden.outputs))
            hidden(token, activation: .relu, to: activated, in: work)
            output(activated, to: logits, in: work)
        }
    }
}

/// Predicts words from fused or decoded tokens: dense, GELU, LayerNorm, then the word embeddings as output matrix.
struct LanguageHead: Sendable {
    let transform: Linear
    let norm: LayerNorm
    let vocabulary: Linear

    /// - Parameter words: The stack's word embeddings, to which the output matrix is tied.
    init(_ file: ModelFile, _ prefix: String, words: PackedMatrix) throws(ModelFileError) {
        let width = words.depth
        transform = try Linear(file, prefix + ".transform.dense", inputs: width, outputs: width)
        norm = try LayerNorm(file, prefix + ".transform.LayerNorm", width: width, epsilon: 1e-12)
        vocabulary = Linear(
            name: prefix + ".decoder", weight: words, bias: try file.tensor(prefix + ".bias", shape: Shape(words.channels)))
    }

    /// Entries of the vocabulary.
    var outputs: Int { vocabulary.outputs }

    /// Writes `[rows, vocabulary]` logits of `[rows, width]` tokens.
    func callAsFunction(_ x: TensorView, to logits: TensorView, in work: Workspace) {
        work.arena.scoped {
            let normalized = work.reserve(x.shape)
            work.arena.scoped {
                let dense = work.reserve(x.shape)
                transform(x, activation: .gelu, to: dense, in: work)
                norm(dense, to: normalized, in: work)
            }
            vocabulary(normalized, to: logits, in: work)
        }
    }
}
