extension Session {
    /// What a trace is taken of.
    public struct TraceRequest: Sendable {
        /// A picture, or nil for a text alone.
        public var image: PreparedImage?
        /// A caption; not together with a question.
        public var caption: PreparedText?
        /// A question; needs a picture and a model that answers.
        public var question: PreparedText?
        /// Candidates for the question; nil for the list in the model file.
        public var answers: AnswerList?
        /// Whether to add each block's output.
        public var blocks = false

        public init(
            image: PreparedImage? = nil, caption: PreparedText? = nil, question: PreparedText? = nil,
            answers: AnswerList? = nil, blocks: Bool = false
        ) {
            self.image = image
            self.caption = caption
            self.question = question
            self.answers = answers
            self.blocks = blocks
        }
    }

    /// Runs every task that the model can do on the given inputs and keeps each stage's tensor.
    ///
    /// - Throws: ``AlbefError/conflictingInputs(_:)`` if there is nothing to trace, or both a caption and a question, or a
    ///   question without a picture; ``AlbefError/missingHead(path:head:tensor:)`` for a question to a model that does not
    ///   answer.
    public func trace(_ request: TraceRequest) throws(AlbefError) -> Trace {
        if request.caption != nil, request.question != nil {
            throw .conflictingInputs("a trace takes either a caption or a question, not both")
        }
        if request.question != nil, request.image == nil {
            throw .conflictingInputs("a trace of a question needs a picture")
        }
        guard request.image != nil || request.caption != nil else {
            throw .conflictingInputs("a trace needs a picture, a caption, or a picture and a question")
        }
        let recorder = TraceRecorder(blocks: request.blocks)
        try observed(by: recorder) { () throws(AlbefError) -> Void in
            var image: EncodedImage?
            if let prepared = request.image { image = try encode(prepared) }
            if let caption = request.caption {
                let text = try encode(caption)
                if let image { try traceFusion(image, text) }
                if let prepared = request.image, model.contrastive != nil { _ = try groundByFeature(prepared, text) }
            }
            if let question = request.question, let image {
                let text = try encode(question)
                let candidates = if let answers = request.answers { answers } else { try model.answerList() }
                if let best = try answer(image, text, candidates).first {
                    _ = try groundAnswer(image, text, answer: best.answer)
                }
            }
        }
        return Trace(tensors: recorder.tensors, metadata: metadata(of: request))
    }

    /// Every task on a picture and a caption together.
    private func traceFusion(_ image: EncodedImage, _ text: EncodedText) throws(AlbefError) {
        if model.matching != nil { _ = try match(image, text) }
        if let head = model.language {
            try pass(tokens: text.ids.count) { pass throws(AlbefError) in try pass.maskedLanguage(image, text, head) }
        }
        if model.matching != nil { _ = try ground(image, text) }
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
