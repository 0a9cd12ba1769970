import AlbefExport
import AlbefFiles
import AlbefImage
import AlbefKernels
import AlbefModelFile
import AlbefTestSupport
import Foundation
import Testing

@testable import Albef

/// The checkout that these tests were built from.
private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

/// A model that the project ships, in one precision.
struct ShippedModel: Sendable, CustomTestStringConvertible {
    let name: String
    let precision: Precision

    static let all = ["pretrain", "retrieval", "vqa", "entailment", "nlvr"].flatMap { name in
        Precision.allCases.map { ShippedModel(name: name, precision: $0) }
    }

    var testDescription: String { "\(name), \(precision.rawValue)" }
    var checkpoint: String { "\(root)/models/\(name)/model.safetensors" }
    var fixtures: String { "\(root)/fixtures/golden/\(name)" }

    /// Packs the shipped checkpoint.
    func export(into folder: String, as file: String = "m.albef", threads: Int = 2) throws -> String {
        let path = folder + "/" + file
        _ = try Exporter.run(
            ExportOptions(
                checkpoint: checkpoint, output: path, precision: precision == .int8 ? .int8 : .float32, task: nil,
                configuration: nil, vocabulary: nil, answers: nil, threads: threads))
        return path
    }
}

@Suite("Shipped models")
struct ShippedModelTests {
    @Test("every stage has the same bytes on every instruction set and with any number of threads", arguments: ShippedModel.all)
    func sameBytes(shipped: ShippedModel) throws {
        let folder = try TemporaryFolder()
        let model = try Model(path: shipped.export(into: folder.path))
        let golden = try GoldenSet(folder: shipped.fixtures)
        // Spread over the set: pictures of the small world, odd files, whole and partial cases.
        let cases = stride(from: 0, to: golden.cases.count, by: max(1, golden.cases.count / 4)).map { golden.cases[$0] }
        var reference: [String: String] = [:]
        for isa in ISA.supported {
            for threads in [1, 2, 3, 8] {
                let session = try Session(model: model, kernels: Kernels(isa: isa, threads: threads))
                var digests: [String: String] = [:]
                for example in cases {
                    let trace = try session.trace(
                        Session.TraceRequest(
                            example, images: example.pictures.map { try session.prepare(decodePicture(path: $0.path)) },
                            model: model, blocks: true))
                    for tensor in trace.tensors { digests[example.name + "/" + tensor.name] = tensor.digest }
                }
                if reference.isEmpty { reference = digests }
                #expect(digests.count > 40)
                let different = digests.keys.filter { digests[$0] != reference[$0] }.sorted()
                #expect(different.isEmpty, "\(isa) with \(threads) threads differs in \(different.prefix(3))")
            }
        }
    }

    @Test("every golden case is within its bounds, with the recorded bytes", arguments: ShippedModel.all)
    func withinBounds(shipped: ShippedModel) throws {
        let folder = try TemporaryFolder()
        let session = try Session(model: Model(path: shipped.export(into: folder.path)), kernels: Kernels(threads: 2))
        let recorded = try RecordedDigests(path: shipped.fixtures + "/exact.json")
        let golden = try GoldenSet(folder: shipped.fixtures)
        let result = try session.verify(golden, recorded: recorded)
        for row in result.rows {
            #expect(row.passed, "\(row.check.stage), \(row.check.measure): \(row.figure) exceeds \(row.check.limit)")
        }
        #expect(result.rows.count >= 7)
        #expect(result.different.isEmpty && result.notRecorded == 0)
        try #expect(session.digests(of: golden) == result.digests)
    }

    @Test("two exports give the same bytes, whatever the threads", arguments: ShippedModel.all)
    func deterministicExport(shipped: ShippedModel) throws {
        let folder = try TemporaryFolder()
        let one = try SHA256.hex(ofFile: shipped.export(into: folder.path, as: "a.albef", threads: 1))
        let two = try SHA256.hex(ofFile: shipped.export(into: folder.path, as: "b.albef", threads: 3))
        #expect(one == two)
    }

    @Test("one digest that differs from the recorded one fails the verification")
    func seesOneDifference() throws {
        let folder = try TemporaryFolder()
        let shipped = ShippedModel(name: "retrieval", precision: .float32)
        let path = try shipped.export(into: folder.path)
        let model = try Model(path: path)
        let golden = try GoldenSet(folder: shipped.fixtures)
        var other = RecordedDigests()
        let session = try Session(model: model, kernels: Kernels(threads: 2))
        let digests = try session.verify(golden, recorded: other).digests
        var changed = digests
        let key = try #require(digests.keys.sorted().last)
        changed[key] = String(repeating: "0", count: 64)
        other.record(changed, model: model.file.digest)
        let result = try session.verify(golden, recorded: other)
        #expect(result.different == [key] && !result.passed)
    }
}
