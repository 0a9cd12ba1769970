import AlbefFiles
import AlbefKernels
import AlbefModelFile
import AlbefTensor
import Foundation
import Testing

@testable import AlbefExport

/// A task with the heads that its checkpoints have.
struct TaskHeads: Sendable {
    let task: ModelTask
    let heads: Set<ModelHead>

    init(_ task: ModelTask, _ heads: Set<ModelHead>) {
        self.task = task
        self.heads = heads
    }
}

@Suite("Exports")
struct ExporterTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func export(_ model: SampleModel, _ change: (inout ExportOptions) -> Void = { _ in }) throws -> (
        report: ExportReport, model: ModelFile
    ) {
        try model.writeSafetensors(to: folder.path("c.safetensors"))
        return try export(folder.path("c.safetensors"), change)
    }

    private func export(_ checkpoint: String, _ change: (inout ExportOptions) -> Void = { _ in }) throws -> (
        report: ExportReport, model: ModelFile
    ) {
        var options = ExportOptions(checkpoint: checkpoint, output: folder.path("m.albef"))
        change(&options)
        let report = try Exporter.run(options)
        return (report, try ModelFile(path: options.output))
    }

    @Test(
        "a checkpoint of each task gives a model that holds its weights",
        arguments: [
            TaskHeads(.pretrain, [.contrastive, .matching, .maskedLanguage]), TaskHeads(.retrieval, [.contrastive, .matching]),
            TaskHeads(.vqa, [.answering]), TaskHeads(.entailment, [.entailment]), TaskHeads(.nlvr, [.reasoning]),
        ], Precision.allCases)
    func tasks(of task: TaskHeads, precision: Precision) throws {
        let sample = SampleModel("tasks", heads: task.heads)
        let (report, model) = try export(sample) { $0.precision = precision }
        #expect(model.task == task.task)
        #expect(model.precision == precision)
        #expect(model.configuration == sample.configuration)
        #expect(model.vocabulary == SampleModel.vocabulary)
        #expect(model.answers == (task.task == .vqa ? ["yes", "no", "two dogs"] : nil))
        #expect(model.provenance.checkpointDigest == report.checkpointDigest)
        #expect(report.checkpointDigest == (try SHA256.hex(ofFile: folder.path("c.safetensors"))))
        #expect(report.modelDigest == model.digest)
        #expect(report.unused.isEmpty)
        #expect(model.tensors.map(\.name) == report.tensors.map(\.name))
        #expect(Set(model.tensors.map(\.name)) == Set(sample.tensors.keys))
        try model.verifySums()
        for entry in ModelLayout(sample.configuration, heads: task.heads).entries {
            let weights = try #require(sample.tensors[entry.name]).values
            switch entry.form {
            case .plain(let shape):
                #expect(try model.tensor(entry.name, shape: #require(Shape(validating: shape))).read() == weights)
            case .headMatrix(let channels, let depth):
                let matrix = try model.matrix(entry.name, channels: channels, depth: depth)
                #expect(Kernels.unpack(matrix) == weights)
            case .matrix(let channels, let depth):
                let matrix = try model.matrix(entry.name, channels: channels, depth: depth)
                if precision == .float32 {
                    #expect(Kernels.unpack(matrix) == weights)
                } else {
                    // Half a step of the channel's scale, with the rounding of the scale itself.
                    #expect(zip(Kernels.unpack(matrix), weights).allSatisfy { abs($0 - $1) <= 0.51 / 127 })
                }
            }
        }
    }

    @Test("a training checkpoint gives the bytes of its stripped student, from either format, wrapped or not")
    func trainingState() throws {
        let heads: Set<ModelHead> = [.contrastive, .matching, .maskedLanguage]
        let student = SampleModel("training state", heads: heads)
        let vocabulary = try folder.write(Array(SampleModel.vocabulary.joined(separator: "\n").utf8), to: "vocab.txt")
        var full = student
        full.addTrainingState()
        full.useLanguageModelNames()
        let expected = try export(student).model
        let wrapped = try folder.write(full.torchFile(wrapper: true), to: "wrapped.pth")
        let flat = try folder.write(full.torchFile(), to: "flat.pth")
        for path in [wrapped, flat] {
            let (report, model) = try export(path) {
                $0.output = folder.path("other.albef")
                $0.vocabulary = vocabulary
            }
            #expect(report.queues == 3)
            #expect(report.positionIDs == 1)
            #expect(report.tied == 2)
            #expect(report.twins == full.tensors.keys.count { $0.split(separator: ".")[0].hasSuffix("_m") })
            #expect(report.unused.isEmpty)
            #expect(model.tensors.map(\.name) == expected.tensors.map(\.name))
            #expect(weightSum(model) == weightSum(expected))
        }
    }

    private func weightSum(_ model: ModelFile) -> [UInt8]? { model.sections.first { $0.kind == .weights }?.sum }

    @Test("the same checkpoint gives the same bytes, with any number of threads")
    func determinism() throws {
        let sample = SampleModel("determinism", heads: [.answering])
        var files: [Data] = []
        for threads in [1, 2, 3, 8] {
            _ = try export(sample) { $0.threads = threads }
            files.append(try Data(contentsOf: URL(filePath: folder.path("m.albef"))))
        }
        #expect(Set(files).count == 1)
    }

    @Test("keys and values that two pictures share are stored once")
    func sharedPairs() throws {
        var sample = SampleModel("pairs", heads: [.reasoning])
        for layer in [3, 5] {
            for part in ["key.weight", "key.bias", "value.weight", "value.bias"] {
                let name = { (number: Int) in "text_encoder.encoder.layer.\(number).crossattention.self.\(part)" }
                #expect(sample.tensors[name(layer)] == nil)
                sample.tensors[name(layer)] = sample.tensors[name(layer - 1)]
            }
        }
        #expect(try export(sample).report.tied == 8)
        sample.tensors["text_encoder.encoder.layer.5.crossattention.self.key.bias"]?.values[3] = 9
        #expect(message { try export(sample) }?.hasSuffix("are one tensor in ALBEF, but differ here") == true)
    }

    @Test("a tied decoder may be absent, equal, or the only one, and not different")
    func tiedDecoder() throws {
        var sample = SampleModel("tied", heads: [.contrastive, .matching, .maskedLanguage])
        sample.addTrainingState()
        #expect(try export(sample).report.tied == 2)
        let words = "text_encoder.embeddings.word_embeddings.weight"
        let kept = sample.tensors.removeValue(forKey: words)
        #expect(try export(sample).report.tied == 1)
        sample.tensors[words] = kept
        sample.tensors["text_encoder.cls.predictions.decoder.weight"]?.values[0] += 1
        #expect(
            message { try export(sample) }?.hasSuffix(
                "tensors '\(words)' and 'text_encoder.cls.predictions.decoder.weight' are one tensor in ALBEF, but differ here")
                == true)
    }

    @Test("a checkpoint that lacks weights is refused with their names")
    func missingWeights() throws {
        var sample = SampleModel("missing")
        sample.tensors["visual_encoder.blocks.1.norm2.bias"] = nil
        #expect(
            message { try export(sample) }?.hasSuffix(
                "1 of the model's tensors is missing: 'visual_encoder.blocks.1.norm2.bias'") == true)
        for name in sample.tensors.keys where name.hasPrefix("visual_encoder.blocks.0") { sample.tensors[name] = nil }
        #expect(message { try export(sample) }?.contains("13 of the model's tensors are missing: 'visual_encoder.blocks.0.norm1.weight'") == true)
        for name in sample.tensors.keys where name.hasPrefix("visual_encoder") { sample.tensors[name] = nil }
        #expect(message { try export(sample) }?.contains("'visual_encoder.patch_embed.proj.weight'") == true)
        sample.tensors = ["weight": ([1], [1])]
        #expect(message { try export(sample) }?.contains("no head of a known task") == true)
        #expect(try folder.names() == ["c.safetensors"])
    }

    @Test("a weight that is not finite is refused by name, and nothing is left behind", arguments: [
        "temp", "visual_encoder.pos_embed", "itm_head.weight", "text_encoder.encoder.layer.3.output.dense.weight",
    ], [Float.nan, .infinity, -.infinity])
    func nonFinite(name: String, value: Float) throws {
        var sample = SampleModel("non-finite")
        sample.tensors[name]?.values[0] = value
        for precision in Precision.allCases {
            #expect(
                message { try export(sample) { $0.precision = precision } }?.hasSuffix(
                    "tensor '\(name)' holds a value that is infinite or not a number") == true)
        }
        #expect(try folder.names() == ["c.safetensors"])
    }

    @Test("a weight of another shape is refused with both shapes")
    func wrongShape() throws {
        var sample = SampleModel("wrong shape")
        sample.tensors["text_proj.bias"] = ([4], [1, 2, 3, 4])
        #expect(message { try export(sample) }?.hasSuffix("tensor 'text_proj.bias' has shape [4], expected [5]") == true)
    }

    @Test("a matrix too deep for 32-bit sums is refused as int8, and exported as float32")
    func depth() throws {
        var sample = SampleModel("depth", width: 64)
        let patch = 106
        sample.tensors["visual_encoder.patch_embed.proj.weight"] = (
            [64, 3, patch, patch], Array(repeating: 1, count: 64 * 3 * patch * patch)
        )
        #expect(message { try export(sample) }?.contains("33708 inputs; int8 matrices have at most 32768") == true)
        #expect(try export(sample) { $0.precision = .float32 }.model.configuration.patchSize == patch)
    }

    @Test("a refused export leaves the file that stood at the output")
    func refusedExport() throws {
        let sample = SampleModel("kept")
        _ = try export(sample)
        let before = try Data(contentsOf: URL(filePath: folder.path("m.albef")))
        var damaged = sample
        damaged.tensors["itm_head.bias"]?.values[1] = .nan
        #expect(throws: ExportError.self) { try export(damaged) }
        #expect(try Data(contentsOf: URL(filePath: folder.path("m.albef"))) == before)
        #expect(message { try export(folder.path("c.safetensors")) { $0.output = $0.checkpoint } }?.contains("would replace") == true)
    }

    @Test("the report names what quantisation cost")
    func report() throws {
        var sample = SampleModel("report")
        let name = "visual_encoder.blocks.0.attn.proj.weight"
        // One large weight makes the steps of its channel coarse.
        sample.tensors[name]?.values[7 * 64] = 100
        let report = try export(sample).report
        #expect(report.worst(1).first?.name == name || report.worst(3).contains { $0.name == name })
        let tensor = try #require(report.tensors.first { $0.name == name }?.quantisation)
        #expect(tensor.worstChannel == 7)
        #expect(tensor.scales.upperBound == Float(100) / 127)
        #expect(tensor.worstError > tensor.relativeError)
        let json = try JSONValue(parsing: report.json.text)
        #expect(json["tensors"]?.array?.count == sample.tensors.count)
        #expect(json["model"]?["bytes"]?.int == report.modelByteCount)
        #expect(report.summary.contains("heads: contrastive, matching"))
    }

    @Test("a label needs its heads")
    func labels() throws {
        let sample = SampleModel("labels")
        #expect(try export(sample) { $0.task = .grounding }.model.task == .grounding)
        #expect(
            message { try export(sample) { $0.task = .vqa } }?.hasSuffix(
                "task vqa needs heads that the checkpoint lacks: answering") == true)
        var labelled = sample
        labelled.metadata["albef.task"] = "grounding"
        #expect(try export(labelled).model.task == .grounding)
    }
}
