import AlbefKernels
import AlbefLayers
import AlbefTensor

extension AnswerDecoder {
    /// Decodes one sequence and keeps what its gradient needs; the tokens have the bytes of the plain pass.
    ///
    /// - Parameters:
    ///   - ids: Int32 `[rows]`.
    ///   - sequence: All rows as one range.
    ///   - question: From ``keysValues(_:in:)``.
    ///   - x: `[rows, width]`.
    /// - Returns: A record a layer. They lie in the arena until the caller releases them.
    func decodeRecording(
        _ ids: TensorView, sequence: [Range<Int>], question: ArenaList<KeysValues>, to x: TensorView, in work: Workspace
    ) -> ArenaList<EncoderLayer.Record> {
        embeddings(ids, sequences: sequence, to: x, in: work)
        var records = work.arena.list(of: EncoderLayer.Record.self, capacity: layers.count)
        for index in layers.indices {
            let record = layers[index].reserveRecord(tokens: x.rows, source: question[index], in: work)
            var source = work.arena.list(of: CrossSource.self, capacity: 1)
            source.append(.projected(question[index]))
            layers[index](x, sequences: sequence, sources: source, record: record, to: x, in: work)
            records.append(record)
        }
        return records
    }

    /// Adds the gradient at the question states, `[tokens, width]`, to `states`.
    ///
    /// - Parameters:
    ///   - g: `[rows, width]`: the gradient at the decoded tokens; overwritten.
    ///   - records: From ``decodeRecording(_:question:to:in:)``.
    func backward(
        _ g: TensorView, records: ArenaList<EncoderLayer.Record>, addingTo states: TensorView, in work: Workspace
    ) {
        for down in layers.indices {
            let index = layers.count - 1 - down
            layers[index].backward(g, records[index], addingToSource: states, to: g, in: work)
        }
    }
}

extension LanguageHead {
    /// The log-probabilities of given words, and the gradient of their weighted sum at the tokens.
    ///
    ///     g = gelu'(h) ⊙ LNᵇ(weight · (oneHot(id) - softmax(logits)) · words) · Wtransform
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`.
    ///   - ids: Int32 `[rows]`: the word that each token should predict.
    ///   - weights: `[rows]`.
    ///   - logs: `[rows]`, with the bytes of the plain pass.
    ///   - g: `[rows, width]`, not `x`.
    func gradient(
        _ x: TensorView, ids: TensorView, weights: TensorView, logs: TensorView, to g: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let preactivation = work.reserve(x.shape)
            let inner = work.reserve(x.shape)
            let record = norm.reserveRecord(rows: x.rows, in: work)
            let logits = work.reserve(Shape(x.rows, outputs))
            transform(x, to: preactivation, in: work)
            transform(x, activation: .gelu, to: inner, in: work)
            norm(inner, record: record, to: inner, in: work)
            vocabulary(inner, to: logits, in: work)
            work.kernels.logSoftmaxGather(logits, ids: ids, to: logs, in: work.arena)
            work.kernels.softmax(logits, to: logits, in: work.arena)
            work.kernels.logSoftmaxBackward(logits, ids: ids, weights: weights, to: logits, in: work.arena)
            vocabulary.backward(logits, to: inner, in: work)
            norm.backward(inner, record, to: inner, in: work)
            work.kernels.geluBackward(inner, preactivation: preactivation, to: inner, in: work.arena)
            transform.backward(inner, to: g, in: work)
        }
    }
}
