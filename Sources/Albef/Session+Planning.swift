import AlbefKernels
import AlbefLayers
import AlbefTensor

extension Session {
    /// The most bytes that a session's arena may have: a damaged or hostile model must not take a machine down.
    public static let memoryLimit = 1 << 34

    /// The bytes of an arena in which every task that the model can do has room, for texts of up to `textLimit` tokens.
    ///
    /// Each task runs once on an arena without memory, at its largest shapes; the most that any of them reserves is the plan.
    ///
    /// - Throws: ``AlbefError/tooMuchMemory(path:bytes:limit:)``.
    static func plan(_ model: Model, _ kernels: Kernels, textLimit: Int) throws(AlbefError) -> Int {
        let arena = Arena.planning()
        let pass = ForwardPass(
            model: model, work: Workspace(kernels: kernels, arena: arena), textLimit: textLimit)
        try pass.runLargest()
        guard arena.peak <= memoryLimit else {
            throw .tooMuchMemory(path: model.file.path, bytes: arena.peak, limit: memoryLimit)
        }
        return arena.peak
    }
}

extension ForwardPass {
    /// Runs every task at its largest shapes.
    func runLargest() throws(AlbefError) {
        let configuration = model.configuration
        let size = configuration.imageSize
        let feature = [Float](repeating: 0, count: configuration.embedDim)
        let picture = try PreparedImage(pixels: [UInt8](repeating: 0, count: 3 * size * size), for: model)
        _ = try encode(picture)
        let image = EncodedImage(
            tokens: [Float](repeating: 0, count: model.vision.tokens * model.vision.width), feature: feature)
        let longest = sample(tokens: textLimit)
        let full = fullBatch()

        _ = try encode(full)
        if let head = model.contrastive {
            _ = try ground(picture, feature, head, block: 0)
            _ = similarities(feature, Array(repeating: feature, count: ForwardPass.similarityRows))
        }
        if let head = model.matching {
            _ = try match(image, full.map { [Float](repeating: 0, count: $0.count * model.text.width) }, head)
            _ = try ground(image, longest, head, layer: configuration.fusionLayer)
        }
        if let head = model.language { try maskedLanguage(image, longest, head) }
        if let decoder = model.decoder {
            _ = try answer(image, longest.tokens, largestAnswers(), decoder)
            let longestAnswer = [Int32](repeating: 0, count: textLimit + 1)
            _ = try ground(image, longest, answer: longestAnswer, decoder, layer: configuration.fusionLayer)
        }
    }

    /// A text of zeros.
    private func sample(tokens: Int) -> EncodedText {
        EncodedText(
            ids: [Int32](repeating: 0, count: tokens), tokens: [Float](repeating: 0, count: tokens * model.text.width),
            feature: nil)
    }

    /// The ids of texts that fill a batch, the longest first.
    private func fullBatch() -> [[Int32]] {
        stride(from: 0, to: rowLimit, by: textLimit).map {
            [Int32](repeating: 0, count: min(textLimit, rowLimit - $0))
        }
    }

    /// As many candidates as are scored, filling a batch of rows.
    private func largestAnswers() -> AnswerList {
        var ids = fullBatch().map { $0 + [0] }
        while ids.count < Session.scoredAnswers { ids.append([0, 0]) }
        return AnswerList(answers: ids.map { _ in "" }, ids: ids)
    }
}
