import AlbefFiles
import AlbefModelFile
import Foundation
import Testing

@testable import AlbefExport

@Suite("Official checkpoints")
struct OfficialCheckpointTests {
    private let folder: TemporaryFolder
    private let vocabulary: String
    private let answers: String

    init() throws {
        folder = try TemporaryFolder()
        vocabulary = try folder.write(Array(SampleModel.vocabulary.joined(separator: "\n").utf8), to: "vocab.txt")
        answers = try folder.write(Array(#"["yes", "no"]"#.utf8), to: "answers.json")
    }

    /// Names of the checkpoint and what its tensors must tell; one model serves retrieval and grounding.
    private static let official = [
        TaskHeads(.pretrain, [.contrastive, .matching, .maskedLanguage]), TaskHeads(.retrieval, [.contrastive, .matching]),
        TaskHeads(.grounding, [.contrastive, .matching]), TaskHeads(.vqa, [.answering]),
        TaskHeads(.entailment, [.entailment]), TaskHeads(.nlvr, [.reasoning]),
    ]

    private func export(_ checkpoint: String, _ task: ModelTask) throws -> (report: ExportReport, model: ModelFile) {
        let output = folder.path("m.albef")
        let report = try Exporter.run(
            ExportOptions(
                checkpoint: checkpoint, output: output, task: task == .grounding ? .grounding : nil, vocabulary: vocabulary,
                answers: task == .vqa ? answers : nil))
        return (report, try ModelFile(path: output))
    }

    @Test("each is told by its tensors, wrapped with twins and queues or flat and stripped", arguments: official)
    func tasks(of task: TaskHeads) throws {
        var student = SampleModel("official", heads: task.heads)
        var full = student
        full.addTrainingState()
        full.useLanguageModelNames()
        student.useLanguageModelNames()
        let stripped = try folder.write(student.torchFile(), to: "stripped.pth")
        let wrapped = try folder.write(full.torchFile(wrapper: true), to: "wrapped.pth")
        let one = try export(stripped, task.task)
        let two = try export(wrapped, task.task)
        for (report, model) in [one, two] {
            #expect(model.task == task.task && report.unused.isEmpty)
            #expect(model.configuration == student.configuration)
        }
        #expect(one.model.digest == two.model.digest)
        #expect(one.report.twins == 0 && two.report.twins > 50)
        let twins = full.tensors.keys.count { $0.split(separator: ".")[0].hasSuffix("_m") }
        #expect(two.report.twins == twins)
        #expect(two.report.queues == (task.heads.contains(.contrastive) ? 3 : 0))
        let tied = [ModelTask.pretrain: 2, .vqa: 2, .nlvr: 8]
        #expect(two.report.tied == tied[task.task] ?? 0)
    }

    @Test("that of NLVR2's text assignment is told too, and refused with what to do")
    func textAssignment() throws {
        var sample = SampleModel("text assignment", heads: [.reasoning])
        for name in sample.tensors.keys where name.hasPrefix("cls_head") { sample.tensors[name] = nil }
        for name in ["vision_proj", "text_proj"] {
            sample.tensors[name + ".weight"] = ([5, 64], Array(repeating: 1, count: 320))
            sample.tensors[name + ".bias"] = ([5], Array(repeating: 1, count: 5))
        }
        sample.tensors["temp"] = ([], [0.07])
        sample.tensors["ta_head.weight"] = ([3, 64], Array(repeating: 1, count: 192))
        sample.tensors["ta_head.bias"] = ([3], [0, 0, 0])
        for wrapper in [false, true] {
            let path = try folder.write(sample.torchFile(wrapper: wrapper), to: "ta.pth")
            #expect(throws: ExportError.textAssignment(path: path)) { try export(path, .nlvr) }
        }
        #expect(ExportError.textAssignment(path: "ta.pth").description.contains("fine-tune it on NLVR2"))
    }
}
