import AlbefFiles
import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Foundation
import Testing

@testable import Albef

private func captionTrace(_ session: Session, blocks: Bool = false) throws -> Trace {
    try session.trace(
        Session.TraceRequest(
            image: PreparedImage(pixels: TinyModel().pixels(), for: session.model),
            caption: session.model.prepare("a dog playing on the left", for: .caption), blocks: blocks))
}

private func questionTrace(_ session: Session) throws -> Trace {
    try session.trace(
        Session.TraceRequest(
            image: PreparedImage(pixels: TinyModel().pixels(), for: session.model),
            question: session.model.prepare("What color is the dog?", for: .question)))
}

@Suite("Traces")
struct TraceTests {
    @Test("a trace holds every stage in its order")
    func order() throws {
        try withSession { session in
            try #expect(
                captionTrace(session).tensors.map(\.name) == [
                    "pixels_u8", "pixels", "image_tokens", "image_feature", "input_ids", "text_tokens", "text_feature",
                    "fusion_tokens", "itm_logits", "mlm_logits", "gradcam", "itc_gradcam",
                ])
            try #expect(
                questionTrace(session).tensors.map(\.name) == [
                    "pixels_u8", "pixels", "image_tokens", "image_feature", "input_ids", "text_tokens", "text_feature",
                    "fusion_tokens", "vqa_first_logits", "vqa_answer_ids", "vqa_answer_scores", "vqa_gradcam",
                ])
            let blocks = try captionTrace(session, blocks: true).tensors.map(\.name).dropFirst(12)
            #expect(
                Array(blocks) == (0..<2).map { "visual_encoder.blocks.\($0)" }
                    + (0..<4).map { "text_encoder.encoder.layer.\($0)" })
        }
    }

    @Test("shapes are those of the documentation")
    func shapes() throws {
        try withSession { session in
            let shapes = try captionTrace(session).tensors.map { "\($0.name) \($0.dtype) \($0.shape)" }
            #expect(
                shapes == [
                    "pixels_u8 U8 [24, 24, 3]", "pixels F32 [3, 24, 24]", "image_tokens F32 [10, 36]",
                    "image_feature F32 [20]", "input_ids I32 [8]", "text_tokens F32 [8, 40]", "text_feature F32 [20]",
                    "fusion_tokens F32 [8, 40]", "itm_logits F32 [2]", "mlm_logits F32 [8, \(TinyModel.vocabulary.count)]",
                    "gradcam F32 [8, 3, 3]", "itc_gradcam F32 [3, 3]",
                ])
        }
    }

    @Test("a trace shows what the tasks compute", arguments: Precision.allCases)
    func production(precision: Precision) throws {
        try withSession(precision: precision) { session in
            let trace = try captionTrace(session, blocks: true)
            let image = try session.tinyImage()
            let text = try session.tinyText("a dog playing on the left", .caption)
            #expect(trace.tensor("image_tokens")?.floats == image.tokens)
            #expect(trace.tensor("image_feature")?.floats == image.feature)
            #expect(trace.tensor("text_tokens")?.floats == text.tokens)
            #expect(trace.tensor("text_feature")?.floats == text.feature)
            try #expect(trace.tensor("itm_logits")?.floats[1] == session.match(image, text).itmLogit)
            try #expect(trace.tensor("gradcam")?.floats == session.ground(image, text).tokenMaps)
            let prepared = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            try #expect(trace.tensor("itc_gradcam")?.floats == session.groundByFeature(prepared, text).heatmap.values)
            #expect(trace.tensor("text_encoder.encoder.layer.3")?.floats == trace.tensor("fusion_tokens")?.floats)

            let question = try session.tinyText("What color is the dog?", .question)
            let answers = try session.answer(image, question, session.model.answerList())
            let asked = try questionTrace(session)
            #expect(asked.tensor("vqa_answer_scores")?.floats == answers.map(\.score))
            #expect(asked.tensor("vqa_answer_ids")?.floats == answers.map { Float($0.index) })
            let best = try session.groundAnswer(image, question, answer: answers[0].answer)
            #expect(asked.tensor("vqa_gradcam")?.floats == best.tokenMaps)
        }
    }

    @Test("the recorded pass of a heatmap has the bytes of the plain one", arguments: Precision.allCases)
    func recordedPass(precision: Precision) throws {
        try withSession(precision: precision) { session in
            let image = try session.tinyImage()
            let text = try session.tinyText("a dog playing on the left", .caption)
            func fused(_ run: () throws -> Void) throws -> [Float]? {
                let recorder = TraceRecorder(blocks: false)
                try session.observed(by: recorder) { () throws(AlbefError) in
                    do { try run() } catch { throw error as? AlbefError ?? .noAnswers(path: "") }
                }
                return recorder.tensors.first { $0.name == "fusion_tokens" }?.floats
            }
            let plain = try fused { _ = try session.match(image, text) }
            let recorded = try fused { _ = try session.ground(image, text, layer: 2) }
            #expect(plain != nil && plain == recorded)
        }
    }

    @Test("digests are equal for every instruction set and number of threads", arguments: Precision.allCases)
    func digests(precision: Precision) throws {
        var expected: [String]?
        for isa in ISA.supported {
            for threads in [1, 2, 3, 8] {
                try withSession(precision: precision, isa: isa, threads: threads) { session in
                    let tensors = try captionTrace(session, blocks: true).tensors + questionTrace(session).tensors
                    let digests = tensors.map { $0.name + " " + $0.digest }
                    if let expected {
                        #expect(digests == expected, "\(isa.rawValue), \(threads) threads")
                    } else {
                        expected = digests
                    }
                }
            }
        }
    }

    @Test("a digest covers type, shape and content")
    func digest() {
        func digest(_ shape: [Int], _ values: Trace.Tensor.Values) -> String {
            Trace.Tensor(name: "x", shape: shape, values: values).digest
        }
        let ones = digest([2], .float32([1, 1]))
        #expect(ones == SHA256.hex(of: Array("F32".utf8) + [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 128, 63]))
        #expect(Set([ones, digest([1, 2], .float32([1, 1])), digest([2], .int32([1, 1])), digest([2], .float32([1, 2]))]).count == 4)
    }

    @Test("a trace is written as a safetensors file")
    func file() throws {
        try withSession { session in
            let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
            defer { try? FileManager.default.removeItem(atPath: path) }
            let trace = try captionTrace(session)
            try trace.write(to: path)
            let file = try SafetensorsFile(path: path)
            #expect(file.names == trace.tensors.map(\.name).sorted())
            try #expect(file.floats("gradcam") == trace.tensor("gradcam")?.floats)
            #expect(file.metadata["albef.model"] == session.model.file.digest)
            #expect(file.metadata["albef.revision"] == String(Arithmetic.revision) && file.metadata["albef.precision"] == "int8")
            #expect(file.metadata["albef.text"] == "a dog playing on the left")
            let error = #expect(throws: AlbefError.self) { try trace.write(to: "/nonexistent/folder/t.safetensors") }
            #expect(error?.kind == .inputOutput)
        }
    }

    @Test("inputs that do not go together are refused")
    func conflicts() throws {
        try withSession { session in
            let text = try session.model.prepare("a dog", for: .caption)
            let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            for request in [
                Session.TraceRequest(), .init(image: image, caption: text, question: text), .init(question: text),
            ] {
                let error = #expect(throws: AlbefError.self) { try session.trace(request) }
                #expect(error?.kind == .usage)
            }
            try #expect(session.trace(.init(caption: text)).tensors.map(\.name) == ["input_ids", "text_tokens", "text_feature"])
        }
    }
}
