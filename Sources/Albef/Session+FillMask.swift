import AlbefLayers
import AlbefTensor

/// A word that may stand in a masked place.
public struct MaskedWord: Sendable, Equatable {
    /// Its place in the vocabulary.
    public let id: Int32
    /// As in the vocabulary: `##` in front marks a piece that continues the word before.
    public let word: String
    /// Softmax of the logits over the whole vocabulary.
    public let probability: Float
}

extension Session {
    /// Finds the words that may stand in the masked places of a text about a picture. Each place is predicted on its own,
    /// while all are masked.
    ///
    /// - Parameters:
    ///   - text: Encoded from a text that was prepared as ``PreparedText/Purpose-swift.enum/masked``.
    ///   - top: How many words are wanted for each place.
    /// - Returns: For each `[MASK]`, in their order, the most probable words, best first, ties by id.
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)``, ``AlbefError/nonFinite(stage:)``.
    public func fillMasks(_ image: EncodedImage, _ text: EncodedText, top: Int) throws(AlbefError) -> [[MaskedWord]] {
        try pass(tokens: text.ids.count) { pass throws(AlbefError) in
            guard let head = pass.model.language else { throw pass.model.missing(.maskedLanguage) }
            let masks = text.ids.indices.filter { text.ids[$0] == pass.model.tokenizer.maskID }
            return try pass.fillMasks(image, text, at: masks, head, top: top)
        }
    }
}

extension ForwardPass {
    /// - Parameter places: The rows of the masked tokens; only these go through the head.
    func fillMasks(
        _ image: EncodedImage, _ text: EncodedText, at places: [Int], _ head: LanguageHead, top: Int
    ) throws(AlbefError) -> [[MaskedWord]] {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts([text.tokens])
        let images = [image]
        computing { fuse(states, sequences, images) }
        var results: [[MaskedWord]] = []
        for start in stride(from: 0, to: places.count, by: ForwardPass.logitRows) {
            results += try words(states, places[start..<min(start + ForwardPass.logitRows, places.count)], head, top: top)
        }
        return results
    }

    /// The most probable words at some rows of the fused tokens.
    private func words(_ states: TensorView, _ rows: ArraySlice<Int>, _ head: LanguageHead, top: Int) throws(AlbefError)
        -> [[MaskedWord]]
    {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let masked = work.reserve(Shape(rows.count, states.columns))
        let logits = work.reserve(Shape(rows.count, head.outputs))
        try computing { () throws(AlbefError) in
            for row in rows.indices {
                let place = row - rows.startIndex
                arena.copy(states.rows(rows[row]..<rows[row] + 1), to: masked.rows(place..<place + 1))
            }
            head(masked, to: logits, in: work)
            try checkFinite(logits, "mlm_logits")
            work.kernels.softmax(logits, to: logits, in: arena)
        }
        let tokenizer = model.tokenizer
        return (0..<rows.count).map { place in
            let probabilities: [Float] = arena.read(logits.rows(place..<place + 1))
            // The embeddings may have more rows than the vocabulary has words.
            let best = Ranking.best(top, of: tokenizer.vocabulary.count) { probabilities[$0] }
            return best.map { id in
                MaskedWord(id: Int32(id), word: tokenizer.vocabulary[id], probability: probabilities[id])
            }
        }
    }
}
