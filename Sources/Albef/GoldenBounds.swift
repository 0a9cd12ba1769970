import AlbefModelFile

/// How far a stage may be from PyTorch float32: the one place that says so, by precision and stage.
///
/// A bound is never widened to make a model pass. Float32 bounds follow from the spread between float32 and float64 PyTorch
/// on a published-size model (4e-6 on hidden states) with room for another order of additions; int8 bounds are what the
/// quantisation scheme promises (docs/arithmetic.md).
public enum GoldenBounds {
    /// What is measured between a tensor and its golden one.
    public enum Measure: String, Sendable {
        /// 1 if any element differs, else 0.
        case different
        /// The greatest absolute difference.
        case absolute
        /// The greatest absolute difference as a share of the golden tensor's greatest magnitude.
        case relative
        /// One minus the cosine of the whole tensor.
        case cosineLoss = "1-cosine"
        /// One minus the cosine of each row (token), every row counted.
        case rowCosineLoss = "1-row cosine"
        /// One minus Pearson's correlation of the token means of two heatmaps.
        case correlationLoss = "1-correlation"
        /// Difference of the match probabilities that two logits give.
        case probability
        /// 1 if the first answers differ, else 0.
        case firstAnswer = "first answer"
        /// The greatest difference of the scores of answers that both ranked.
        case answerScore = "score by answer"
    }

    /// How the cases' measures become one figure.
    public enum Aggregate: String, Sendable {
        case mean
        case worst
        /// The figure that 95 % of the cases do not exceed.
        case percentile95 = "95 %"
    }

    /// One row of the table that `verify` prints.
    public struct Check: Sendable {
        /// A tensor of ``Trace``.
        public let stage: String
        public let measure: Measure
        public let aggregate: Aggregate
        /// The aggregate may not exceed it.
        public let limit: Double
    }

    /// Everything that is checked for models of a precision.
    public static func checks(for precision: Precision) -> [Check] {
        exact + (precision == .float32 ? float32 : int8)
    }

    /// Preprocessing is exact in either precision.
    private static let exact = [
        Check(stage: "pixels_u8", measure: .different, aggregate: .worst, limit: 0),
        Check(stage: "pixels", measure: .absolute, aggregate: .worst, limit: 0),
        Check(stage: "input_ids", measure: .different, aggregate: .worst, limit: 0),
    ]

    private static let hiddenState = 5e-5
    private static let logit = 1e-4

    private static let float32 =
        ["image_tokens", "image_feature", "text_tokens", "text_feature", "fusion_tokens"].map {
            Check(stage: $0, measure: .absolute, aggregate: .worst, limit: hiddenState)
        }
        + ["itm_logits", "mlm_logits", "vqa_first_logits"].map {
            Check(stage: $0, measure: .absolute, aggregate: .worst, limit: logit)
        } + [
            Check(stage: "gradcam", measure: .relative, aggregate: .worst, limit: 1e-4),
            Check(stage: "itc_gradcam", measure: .relative, aggregate: .worst, limit: 1e-4),
            Check(stage: "vqa_gradcam", measure: .relative, aggregate: .worst, limit: 1e-4),
            Check(stage: "vqa_answer_ids", measure: .firstAnswer, aggregate: .worst, limit: 0),
            Check(stage: "vqa_answer_scores", measure: .answerScore, aggregate: .worst, limit: logit),
        ]

    private static let int8 =
        ["image_feature", "text_feature"].flatMap {
            [
                Check(stage: $0, measure: .cosineLoss, aggregate: .mean, limit: 0.001),
                Check(stage: $0, measure: .cosineLoss, aggregate: .worst, limit: 0.003),
            ]
        }
        + ["image_tokens", "text_tokens", "fusion_tokens"].flatMap {
            [
                Check(stage: $0, measure: .rowCosineLoss, aggregate: .mean, limit: 0.005),
                Check(stage: $0, measure: .rowCosineLoss, aggregate: .worst, limit: 0.03),
            ]
        } + [
            Check(stage: "itm_logits", measure: .probability, aggregate: .percentile95, limit: 0.02),
            Check(stage: "itm_logits", measure: .probability, aggregate: .worst, limit: 0.05),
            Check(stage: "mlm_logits", measure: .rowCosineLoss, aggregate: .mean, limit: 0.005),
            Check(stage: "mlm_logits", measure: .rowCosineLoss, aggregate: .worst, limit: 0.03),
            Check(stage: "vqa_first_logits", measure: .rowCosineLoss, aggregate: .mean, limit: 0.005),
            Check(stage: "vqa_first_logits", measure: .rowCosineLoss, aggregate: .worst, limit: 0.03),
            Check(stage: "vqa_answer_ids", measure: .firstAnswer, aggregate: .mean, limit: 0.01),
        ] + int8Heatmaps

    private static let int8Heatmaps = ["gradcam", "itc_gradcam", "vqa_gradcam"].flatMap {
        [
            Check(stage: $0, measure: .correlationLoss, aggregate: .mean, limit: 0.02),
            Check(stage: $0, measure: .correlationLoss, aggregate: .worst, limit: 0.07),
        ]
    }
}
