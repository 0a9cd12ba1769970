import AlbefKernels
import AlbefTensor

extension GoldenBounds.Measure {
    /// Compares a tensor of this runtime with its golden one.
    ///
    /// - Returns: One value for the case, or one for each row where rows are compared; larger is worse.
    func values(_ own: Trace.Tensor, _ golden: Trace.Tensor, companion: (own: Trace.Tensor, golden: Trace.Tensor)?)
        -> [Double]
    {
        guard own.dtype == golden.dtype, own.shape == golden.shape || self == .firstAnswer || self == .answerScore else {
            return [.infinity]
        }
        switch self {
        case .different: return [own.bytes == golden.bytes ? 0 : 1]
        case .absolute: return [Kernels.compare(own.floats, golden.floats).maximumAbsoluteDifference]
        case .relative:
            let comparison = Kernels.compare(own.floats, golden.floats)
            if comparison.maximumAbsolute == 0 { return [comparison.maximumAbsoluteDifference == 0 ? 0 : .infinity] }
            return [comparison.maximumAbsoluteDifference / comparison.maximumAbsolute]
        case .cosineLoss: return [1 - Kernels.compare(own.floats, golden.floats).cosine]
        case .rowCosineLoss: return zip(own.rows, golden.rows).map { 1 - Kernels.compare($0, $1).cosine }
        case .correlationLoss: return [1 - Kernels.compare(own.tokenMean, golden.tokenMean).pearson]
        case .probability:
            return [Kernels.compare(own.probabilities, golden.probabilities).maximumAbsoluteDifference]
        case .firstAnswer: return [own.floats.first == golden.floats.first ? 0 : 1]
        case .answerScore: return [answerScore(own, golden, ids: companion)]
        }
    }

    /// The greatest difference of two lists of scores, matched by the answers that they belong to.
    private func answerScore(
        _ own: Trace.Tensor, _ golden: Trace.Tensor, ids: (own: Trace.Tensor, golden: Trace.Tensor)?
    ) -> Double {
        guard let ids else { return .infinity }
        let scores = Dictionary(zip(ids.own.floats, own.floats), uniquingKeysWith: { first, _ in first })
        var pairs: (own: [Float], golden: [Float]) = ([], [])
        for (id, score) in zip(ids.golden.floats, golden.floats) {
            // Candidates whose first word piece ties at the last place may differ; the others must all be there.
            guard let mine = scores[id] else { continue }
            pairs.own.append(mine)
            pairs.golden.append(score)
        }
        if pairs.own.isEmpty { return .infinity }
        return Kernels.compare(pairs.own, pairs.golden).maximumAbsoluteDifference
    }
}

extension GoldenBounds.Aggregate {
    /// One figure for many; NaN never passes.
    func figure(_ values: [Double]) -> Double {
        if values.contains(where: \.isNaN) { return .infinity }
        switch self {
        case .mean: return values.reduce(0, +) / Double(max(1, values.count))
        case .worst: return values.max() ?? 0
        case .percentile95:
            let sorted = values.sorted()
            return sorted.isEmpty ? 0 : sorted[max(0, (sorted.count * 95 + 99) / 100 - 1)]
        }
    }
}

extension Trace.Tensor {
    /// The rows along the last dimension.
    fileprivate var rows: [[Float]] {
        let width = max(1, shape.last ?? 1)
        let all = floats
        return stride(from: 0, to: all.count, by: width).map { Array(all[$0..<min($0 + width, all.count)]) }
    }

    /// The mean of token maps `[tokens, rows, columns]`, computed as the runtime does.
    fileprivate var tokenMean: [Float] {
        guard shape.count == 3, shape[0] > 0 else { return floats }
        return onArena { arena, kernels in
            let maps = arena.reserve(Shape(shape[0], shape[1] * shape[2]))
            arena.write(floats.span, to: maps)
            let mean = arena.reserve(Shape(shape[1] * shape[2]))
            kernels.meanRows(maps, to: mean, in: arena)
            return arena.read(mean)
        } ?? []
    }

    /// Softmax of one row of logits.
    fileprivate var probabilities: [Float] {
        onArena { arena, kernels in
            let logits = arena.reserve(Shape(1, floats.count))
            arena.write(floats.span, to: logits)
            let result = arena.reserve(Shape(1, floats.count))
            kernels.softmax(logits, to: result, in: arena)
            return arena.read(result)
        } ?? []
    }

    private func onArena(_ body: (Arena, Kernels) -> [Float]) -> [Float]? {
        guard let kernels = try? Kernels(isa: .scalar, threads: 1) else { return nil }
        return body(Arena(capacity: 3 * 4 * floats.count + 16 * Arena.alignment), kernels)
    }
}
