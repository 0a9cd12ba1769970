import AlbefFiles
import AlbefImage
import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Foundation
import Testing

@testable import Albef
@testable import AlbefExport

/// The checkout that these tests were built from.
private let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

/// A shipped checkpoint whose weights a test changes.
private struct ChangedCheckpoint {
    var tensors: [String: (shape: [Int], values: [Float])] = [:]
    let metadata: [String: String]

    init(_ model: String) throws {
        let file = try SafetensorsFile(path: "\(root)/models/\(model)/model.safetensors")
        metadata = file.metadata
        for name in file.names { tensors[name] = (file[name]?.shape ?? [], try file.floats(name)) }
    }

    /// Applies `change` to one element of a vector or to a column of a matrix.
    mutating func change(_ name: String, column: Int, _ change: (Float) -> Float) throws {
        let tensor = try #require(tensors[name])
        let width = tensor.shape.last ?? 1
        for index in stride(from: column, to: tensor.values.count, by: width) {
            tensors[name]?.values[index] = change(tensor.values[index])
        }
    }

    func write(to path: String) throws -> String {
        var writer = SafetensorsWriter(metadata: metadata)
        for (name, tensor) in tensors { writer.add(name, shape: tensor.shape, tensor.values) }
        try writer.write(to: path)
        return path
    }
}

@Suite("Calibration")
struct CalibrationTests {
    private let folder: TemporaryFolder
    /// Pictures of the small world with captions or questions that fit.
    private let pictures: String
    private static let block = "visual_encoder.blocks.1."
    private static let column = 5

    init() throws {
        folder = try TemporaryFolder()
        pictures = folder.file("pictures")
        try FileManager.default.createDirectory(atPath: pictures, withIntermediateDirectories: true)
    }

    /// Copies demo pictures beside a `captions.json` that names them.
    private func fill(questions: Bool = false) throws {
        let texts = [
            ("night-sky-blue-moon.png", "two blue rings on a brick wall"), ("wood-red-ring.jpg", "a red ring on wood"),
            ("sea-red-star.png", "a small red star in the sea"), ("grass-orange-circle.jpg", "the yellow star"),
        ]
        var records: [JSONValue] = []
        for (picture, text) in texts {
            try FileManager.default.copyItem(atPath: "\(root)/fixtures/demo/\(picture)", toPath: pictures + "/" + picture)
            records.append(
                questions
                    ? ["image": .string(picture), "question": "what color is the star?", "question_id": 1, "answer": ["red"]]
                    : ["image": .string(picture), "caption": [.string(text), "another caption"]])
        }
        try writeAtomically(Array(JSONValue.array(records).text.utf8), to: pictures + "/captions.json")
    }

    private func options(_ checkpoint: String, threads: Int = 2) -> ExportOptions {
        ExportOptions(
            checkpoint: checkpoint, output: folder.file("m.albef"), calibration: pictures, threads: threads)
    }

    private func damaged() throws -> String {
        var checkpoint = try ChangedCheckpoint("retrieval")
        // An input that is always 0, with weights so large that one step of a channel's int8 values exceeds all others.
        try checkpoint.change(Self.block + "norm2.weight", column: Self.column) { _ in 0 }
        try checkpoint.change(Self.block + "norm2.bias", column: Self.column) { _ in 0 }
        try checkpoint.change(Self.block + "mlp.fc1.weight", column: Self.column) { _ in 1000 }
        return try checkpoint.write(to: folder.file("damaged.safetensors"))
    }

    @Test("a layer that an outlier spoils is ranked first and kept in float, and nothing else is")
    func outlier() throws {
        try fill()
        let name = Self.block + "mlp.fc1.weight"
        let report = try Exporter.run(options(damaged()))
        let calibration = try #require(report.calibration)
        #expect(calibration.cases == 4 && calibration.skipped.isEmpty)
        #expect(calibration.plain.worstShare > 1)
        #expect(calibration.layers.first?.tensor == name)
        #expect(calibration.floats.map(\.tensor) == [name])
        #expect(try #require(calibration.layers.first?.shareIfInt8) > 1)
        #expect(calibration.chosen.allSatisfy { $0.share <= 1 })
        let second = try #require(calibration.layers.dropFirst().first)
        #expect(second.share < 0.5 * calibration.layers[0].share)
        #expect(report.tensors.first { $0.name == name }?.type == "float32")
        let model = try ModelFile(path: report.modelPath)
        #expect(model.precision == .int8 && model.entry(name)?.kind == .matrixFloat32)
        #expect(model.tensors.count { $0.kind == .matrixFloat32 } == 4)  // with three heads
        #expect(model.provenance.report["float32_matrices"]?.strings == [name])
        #expect(report.summary.contains("1 of \(calibration.layers.count) matrices kept in float32"))
        let json = try JSONValue(parsing: report.json.text)["calibration"]
        #expect(json?["layers"]?.array?.first?["tensor"]?.string == name)
        #expect(json?["layers"]?.array?.first?["type"] == "float32")
        #expect(json?["exported"]?.array?.count == calibration.chosen.count)
        #expect(try folder.names() == ["damaged.safetensors", "m.albef", "pictures"])
    }

    @Test("an outlier that smoothing can move into the weights needs no float")
    func smoothing() throws {
        try fill()
        var checkpoint = try ChangedCheckpoint("retrieval")
        // The same function in float: one input is 2^12 times smaller, its weights are as much larger.
        try checkpoint.change(Self.block + "norm2.weight", column: Self.column) { $0 * 0x1p-12 }
        try checkpoint.change(Self.block + "norm2.bias", column: Self.column) { $0 * 0x1p-12 }
        try checkpoint.change(Self.block + "mlp.fc1.weight", column: Self.column) { $0 * 0x1p12 }
        let report = try Exporter.run(options(checkpoint.write(to: folder.file("scaled.safetensors"))))
        let calibration = try #require(report.calibration)
        #expect(calibration.plain.worstShare > 1)
        #expect(try #require(calibration.smoothed).worstShare < 1)
        #expect(calibration.chosen.worstShare == calibration.smoothed?.worstShare)
        #expect(calibration.floats.isEmpty)
        let fold = try #require(calibration.folds.first { $0.site.consumers == [Self.block + "mlp.fc1"] })
        #expect(fold.errorAfter < 0.01 * fold.errorBefore)
        #expect(fold.exponents[Self.column] < -4)
    }

    @Test("smoothing leaves every bit of a float32 model's results", arguments: ["retrieval", "vqa"])
    func exactness(model: String) throws {
        let exporter = try Exporter(
            ExportOptions(checkpoint: "\(root)/models/\(model)/model.safetensors", output: folder.file("m.albef")))
        var generator = SeededGenerator("smoothing")
        let folds = SmoothingSite.all(exporter.configuration, exporter.layout).map { site in
            Fold(
                site: site, share: 0.5, exponents: (0..<site.width).map { _ in Int32.random(in: -6...6, using: &generator) },
                errorBefore: 0, errorAfter: 0)
        }
        // Three sites a block of the image encoder, one an attention of the text stacks.
        let c = exporter.configuration
        #expect(folds.count == 3 * c.visionLayers + 2 * c.textLayers - c.fusionLayer + 2 * c.decoderLayers)
        let plain = try exporter.temporaryModel(StoragePlan(precision: .float32))
        let folded = try exporter.temporaryModel(StoragePlan(precision: .float32, folds: folds))
        #expect(plain.digest != folded.digest)
        func traces(_ file: ModelFile) throws -> [String] {
            let model = try Model(file)
            let session = try Session(model: model, kernels: Kernels(threads: 2))
            let image = try session.prepare(decode("sea-red-star.png"))
            let asks = model.heads.contains(.answering)
            let text = try model.prepare("what color is the star", for: asks ? .question : .caption)
            let trace = try session.trace(
                Session.TraceRequest(image: image, caption: asks ? nil : text, question: asks ? text : nil, blocks: true))
            return trace.tensors.map { $0.name + " " + $0.digest }
        }
        let expected = try traces(plain)
        #expect(expected.count > 12)
        #expect(try traces(folded) == expected)
    }

    @Test("every number of threads gives the same bytes, and a model within its bounds")
    func determinism() throws {
        try fill()
        let checkpoint = try damaged()
        var sums: Set<String> = []
        for threads in [1, 3] {
            let report = try Exporter.run(options(checkpoint, threads: threads))
            sums.insert(try SHA256.hex(ofFile: report.modelPath))
        }
        #expect(sums.count == 1)
    }

    @Test("a model that asks questions is calibrated on questions; one that does not takes them as captions")
    func questions() throws {
        try fill(questions: true)
        let vqa = try #require(
            try Exporter.run(options("\(root)/models/vqa/model.safetensors")).calibration)
        #expect(Set(vqa.chosen.map(\.check.stage)).isSuperset(of: ["image_tokens", "text_tokens", "vqa_first_logits"]))
        #expect(vqa.layers.contains { $0.tensor.hasPrefix("text_decoder.") && $0.share > 0 })
        let retrieval = try #require(
            try Exporter.run(options("\(root)/models/retrieval/model.safetensors")).calibration)
        #expect(retrieval.chosen.contains { $0.check.stage == "itm_logits" })
        #expect(retrieval.cases == 4)
    }

    @Test("pictures alone calibrate the image encoder")
    func picturesAlone() throws {
        try fill()
        try FileManager.default.removeItem(atPath: pictures + "/captions.json")
        let report = try #require(
            try Exporter.run(options("\(root)/models/retrieval/model.safetensors")).calibration)
        #expect(report.cases == 4)
        #expect(Set(report.chosen.map(\.check.stage)) == ["image_tokens", "image_feature"])
        // A cosine of equal vectors is 1 but for the last bit.
        #expect(report.layers.filter { $0.share > 1e-9 }.allSatisfy { $0.tensor.hasPrefix("visual_encoder.") })
        #expect(report.folds.allSatisfy { $0.site.consumers[0].hasPrefix("visual_encoder.") })
    }

    private func decode(_ picture: String) throws -> Picture { try decodePicture(path: "\(root)/fixtures/demo/\(picture)") }
}
