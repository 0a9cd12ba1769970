extension Session {
    /// What a trace is taken of.
    public struct TraceRequest: Sendable {
        /// A picture, the left one of two, or nil for a text alone.
        public var image: PreparedImage?
        /// The right one of two pictures, for a model that reasons over two.
        public var right: PreparedImage?
        /// A caption; not together with a question.
        public var caption: PreparedText?
        /// A question; needs a picture and a model that answers.
        public var question: PreparedText?
        /// Candidates for the question; nil for the list in the model file.
        public var answers: AnswerList?
        /// Whether to add each block's output.
        public var blocks = false
        /// Whether to take the heatmaps.
        public var heatmaps = true
        /// What the image encoder made of the pictures before, for measuring what comes behind it alone; empty to run it. With
        /// them the trace lacks the pictures' own stages.
        public var encoded: [EncodedImage] = []

        public init(
            image: PreparedImage? = nil, right: PreparedImage? = nil, caption: PreparedText? = nil,
            question: PreparedText? = nil, answers: AnswerList? = nil, blocks: Bool = false
        ) {
            self.image = image
            self.right = right
            self.caption = caption
            self.question = question
            self.answers = answers
            self.blocks = blocks
        }
    }

    /// Runs every task that the model can do on the given inputs and keeps each stage's tensor. With two pictures the names
    /// of each one's tensors end with `_left` and `_right`.
    ///
    /// - Throws: ``AlbefError/conflictingInputs(_:)`` if there is nothing to trace, or both a caption and a question, or a
    ///   question without a picture or with two, or only the right one of two; ``AlbefError/missingHead(path:head:tensor:)``
    ///   for a question to a model that does not answer and for two pictures to one that does not reason over two.
    public func trace(_ request: TraceRequest) throws(AlbefError) -> Trace {
        if request.caption != nil, request.question != nil {
            throw .conflictingInputs("a trace takes either a caption or a question, not both")
        }
        if request.question != nil, request.image == nil {
            throw .conflictingInputs("a trace of a question needs a picture")
        }
        if request.right != nil {
            if request.image == nil || request.question != nil {
                throw .conflictingInputs("a trace of two pictures needs both of them, and takes a caption but no question")
            }
            guard model.heads.contains(.reasoning) else { throw model.missing(.reasoning) }
        }
        guard request.image != nil || request.caption != nil else {
            throw .conflictingInputs("a trace needs a picture, a caption, or a picture and a question")
        }
        let recorder = TraceRecorder(blocks: request.blocks)
        try observed(by: recorder) { () throws(AlbefError) -> Void in
            let sides = request.right == nil ? [""] : ["_left", "_right"]
            var images = request.encoded
            for (prepared, side) in zip([request.image, request.right].compactMap(\.self), sides) where request.encoded.isEmpty {
                recorder.suffix = side
                images.append(try encode(prepared))
            }
            recorder.suffix = ""
            if let caption = request.caption {
                let text = try encode(caption)
                switch images.count {
                case 1:
                    try traceFusion(images[0], text, heatmaps: request.heatmaps)
                    if let prepared = request.image, request.heatmaps, model.contrastive != nil {
                        _ = try groundByFeature(prepared, text)
                    }
                case 2: _ = try reason(images[0], images[1], text)
                default: break
                }
            }
            if let question = request.question, let image = images.first {
                let text = try encode(question)
                let candidates = if let answers = request.answers { answers } else { try model.answerList() }
                if let best = try answer(image, text, candidates).first, request.heatmaps {
                    _ = try groundAnswer(image, text, answer: best.answer)
                }
            }
        }
        return Trace(tensors: recorder.tensors, metadata: metadata(of: request))
    }

    /// Every task on one picture and a caption together.
    private func traceFusion(_ image: EncodedImage, _ text: EncodedText, heatmaps: Bool) throws(AlbefError) {
        if model.matching != nil { _ = try match(image, text) }
        if let head = model.language {
            try pass(tokens: text.ids.count) { pass throws(AlbefError) in try pass.maskedLanguage(image, text, head) }
        }
        if heatmaps, model.matching != nil { _ = try ground(image, text) }
        if model.heads.contains(.entailment) { _ = try entail(image, text) }
    }

    private func metadata(of request: TraceRequest) -> [String: String] {
        var result = [
            "albef.model": model.file.digest, "albef.precision": model.file.precision.rawValue,
            "albef.revision": String(Arithmetic.revision),
        ]
        result["albef.text"] = request.caption?.text
        result["albef.question"] = request.question?.text
        return result
    }
}
