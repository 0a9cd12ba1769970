import AlbefModelFile

/// How far some traces are from others of the same inputs, by one of the measures that models are held to.
public struct Deviation: Sendable {
    /// The measure, and its limit.
    public let check: GoldenBounds.Check
    /// Pairs of traces that have the stage.
    public let cases: Int
    /// The aggregate of the measure.
    public let figure: Double

    /// The figure as a share of what is allowed: above 1 the limit is broken.
    ///
    /// A first answer that differs in one case is allowed whatever the number of cases: fewer than a hundred cannot show that
    /// one in a hundred differs.
    public var share: Double {
        if check.measure == .firstAnswer, figure * Double(cases) <= 1 { return 0 }
        return figure / check.limit
    }
}

extension GoldenBounds {
    /// Compares traces with those of a reference, pair by pair, by the bounds of a precision.
    ///
    /// - Parameters:
    ///   - traces: As many as of the reference, each of the same input as its partner.
    ///   - precision: Of the model that `traces` are of.
    /// - Returns: One for each check of a stage that both have, except those that allow no difference.
    public static func deviations(of traces: [Trace], from reference: [Trace], precision: Precision) -> [Deviation] {
        precondition(traces.count == reference.count)
        let own = traces.map(byName), expected = reference.map(byName)
        return checks(for: precision).filter { $0.limit > 0 }.compactMap { check in
            var values: [Double] = []
            var cases = 0
            for (own, expected) in zip(own, expected) {
                guard let tensor = own[check.stage], let truth = expected[check.stage] else { continue }
                var companion: (own: Trace.Tensor, golden: Trace.Tensor)?
                if check.measure == .answerScore, let mine = own["vqa_answer_ids"], let ids = expected["vqa_answer_ids"] {
                    companion = (mine, ids)
                }
                values += check.measure.values(tensor, truth, companion: companion)
                cases += 1
            }
            return cases == 0 ? nil : Deviation(check: check, cases: cases, figure: check.aggregate.figure(values))
        }
    }

    private static func byName(_ trace: Trace) -> [String: Trace.Tensor] {
        Dictionary(trace.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }
}
