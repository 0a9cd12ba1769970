import AlbefKernels
import AlbefTestSupport
import Testing

@testable import Albef

@Suite("Traces of a part")
struct PartialTraceTests {
    @Test("pictures encoded before give the bytes of all later stages; heatmaps can be left out", arguments: [false, true])
    func parts(asks: Bool) throws {
        try TinyModel().withFile { path in
            let session = try Session(model: Model(path: path), kernels: Kernels(threads: 2))
            let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            let text = try session.model.prepare("is the red dog on the left", for: asks ? .question : .caption)
            var request = Session.TraceRequest(image: image, caption: asks ? nil : text, question: asks ? text : nil)
            let whole = digests(try session.trace(request))
            request.encoded = [try session.encode(image)]
            request.heatmaps = false
            let part = digests(try session.trace(request))
            let left = Set(whole.keys).subtracting(part.keys)
            #expect(left.isSuperset(of: ["pixels_u8", "pixels", "image_tokens", "image_feature"]))
            #expect(left.contains { $0.contains("gradcam") })
            #expect(left.allSatisfy { $0.hasPrefix("pixels") || $0.hasPrefix("image") || $0.contains("gradcam") })
            #expect(part.count >= 5 && part.allSatisfy { whole[$0.key] == $0.value })
        }
    }

    private func digests(_ trace: Trace) -> [String: String] {
        Dictionary(trace.tensors.map { ($0.name, $0.digest) }, uniquingKeysWith: { first, _ in first })
    }

    @Test("the rows and greatest values that a layer reads are recorded, for the layers that are asked for")
    func linearInputs() throws {
        try TinyModel().withFile { path in
            let session = try Session(model: Model(path: path), kernels: Kernels(threads: 2))
            let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            let layer = "visual_encoder.blocks.1.mlp.fc1", width = TinyModel().configuration.visionWidth
            let recorder = LinearInputRecorder(layers: [layer, "none"], rowLimit: 11)
            for _ in 0..<3 { _ = try session.trace(Session.TraceRequest(image: image), recordingInputsTo: recorder) }
            #expect(Array(recorder.inputs.keys) == [layer])
            let input = try #require(recorder.inputs[layer])
            #expect(input.greatest.count == width && input.rows.count == 11 * width)
            for row in 0..<11 {
                #expect((0..<width).allSatisfy { abs(input.rows[row * width + $0]) <= input.greatest[$0] })
            }
            // Ten image tokens: a call gives 8 of them, the next one fills the sample.
            #expect(input.rows[0..<width] == input.rows[8 * width..<9 * width])
            #expect(Set(input.greatest).count > width / 2)
            let plain = digests(try session.trace(Session.TraceRequest(image: image)))
            #expect(digests(try session.trace(Session.TraceRequest(image: image), recordingInputsTo: recorder)) == plain)
        }
    }
}
