import Albef
import AlbefFiles
import AlbefModelFile
import Foundation
import Testing

@testable import AlbefExport

/// A task with the stage that its head ends in.
struct TaskStage: Sendable {
    let heads: TaskHeads
    let stage: String
    /// Key of the records' texts.
    let key: String

    static let all = [
        TaskStage(heads: TaskHeads(.pretrain, [.contrastive, .matching, .maskedLanguage]), stage: "mlm_logits", key: "caption"),
        TaskStage(heads: TaskHeads(.retrieval, [.contrastive, .matching]), stage: "itm_logits", key: "text"),
        TaskStage(heads: TaskHeads(.vqa, [.answering]), stage: "vqa_first_logits", key: "question"),
        TaskStage(heads: TaskHeads(.entailment, [.entailment]), stage: "entailment_logits", key: "sentence"),
        TaskStage(heads: TaskHeads(.nlvr, [.reasoning]), stage: "nlvr_logits", key: "sentence"),
    ]
}

@Suite("Calibration of every task")
struct CalibrationTaskTests {
    private let folder: TemporaryFolder
    private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../fixtures/images").path

    init() throws { folder = try TemporaryFolder() }

    @Test("a model is measured by its own head, and every matrix is ranked", arguments: TaskStage.all)
    func tasks(of task: TaskStage) throws {
        var sample = SampleModel("calibration", heads: task.heads.heads)
        // Norms of about 1 and matrices that keep the tokens' size, as in a trained model.
        for (name, tensor) in sample.tensors {
            let isNorm = name.contains("norm") || name.contains("LayerNorm")
            sample.tensors[name]?.values = tensor.values.map {
                isNorm && name.hasSuffix(".weight") ? 1 + $0 / 8 : tensor.shape.count > 1 ? $0 / 6 : $0 / 8
            }
        }
        let checkpoint = folder.path("c.safetensors")
        try sample.writeSafetensors(to: checkpoint)
        for name in ["rgb.png", "grey.jpg", "gamma.png"] {
            try FileManager.default.copyItem(atPath: "\(fixtures)/\(name)", toPath: folder.path(name))
        }
        let pictures = task.heads.task == .nlvr ? #""images": ["rgb.png", "grey.jpg"]"# : #""image": "gamma.png""#
        let records = "[{\(pictures), \"\(task.key)\": \"word1 word2 word7\"}, {\(pictures), \"\(task.key)\": \"word3\"}]"
        _ = try folder.write(Array(records.utf8), to: "captions.json")
        var digests: Set<String> = []
        for threads in [1, 2] {
            let report = try Exporter.run(
                ExportOptions(
                    checkpoint: checkpoint, output: folder.path("m.albef"), calibration: folder.url.path, threads: threads))
            let calibration = try #require(report.calibration)
            #expect(calibration.cases == 2 && calibration.skipped.isEmpty)
            #expect(calibration.chosen.contains { $0.check.stage == task.stage && $0.cases == 2 })
            let matrices = ModelLayout(sample.configuration, heads: task.heads.heads).entries.filter {
                if case .matrix = $0.form { true } else { false }
            }
            #expect(Set(calibration.layers.map(\.tensor)) == Set(matrices.map(\.name)))
            #expect(calibration.layers.count == matrices.count)
            #expect(calibration.layers.map(\.share) == calibration.layers.map(\.share).sorted(by: >))
            // Matrices of text and fusion matter too, not the image encoder's alone.
            #expect(calibration.layers.contains { $0.tensor.hasPrefix("text_encoder.") && $0.share > 1e-6 })
            let model = try Model(path: report.modelPath)
            #expect(
                Set(model.file.tensors.filter { $0.kind == .matrixFloat32 }.map(\.name)).isSuperset(
                    of: calibration.floats.map(\.tensor)))
            digests.insert(model.file.digest)
        }
        #expect(digests.count == 1)
    }

    @Test("two layers that share their values are smoothed together")
    func sharedValues() throws {
        let sample = SampleModel("shared", heads: [.reasoning])
        let sites = SmoothingSite.all(sample.configuration, ModelLayout(sample.configuration, heads: sample.heads))
        let cross = sites.filter { $0.consumers[0].contains(".crossattention.") }
        #expect(
            cross.map(\.consumers) == [2, 4].map { first in
                [first, first + 1].map { "text_encoder.encoder.layer.\($0).crossattention.output.dense" }
            })
        #expect(cross[1].producers.map(\.tensor) == ["weight", "bias"].map { "text_encoder.encoder.layer.4.crossattention.self.value.\($0)" })
    }
}
