import AlbefFiles
import AlbefKernels
import AlbefModelFile
import AlbefTensor
import Foundation
import Testing

@testable import AlbefExport

@Suite("Position embeddings of another resolution")
struct PositionTests {
    private let folder: TemporaryFolder
    private let kernels: Kernels

    init() throws {
        folder = try TemporaryFolder()
        kernels = try Kernels(threads: 1)
    }

    @Test("equal PyTorch's interpolation", arguments: ["4_6", "14_16", "16_24", "24_16", "3_1", "1_2"])
    func golden(grids: String) throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../fixtures/checkpoints/positions.safetensors").path
        let file = try SafetensorsFile(path: path)
        let sizes = grids.split(separator: "_").compactMap { Int($0) }
        let width = try #require(file[grids + "/stored"]?.shape[2])
        let stored = try file.floats(grids + "/stored")
        let single = try file.floats(grids + "/resized"), double = try file.floats(grids + "/resized_in_double")
        let resized = PositionGrid.resize(stored, width: width, from: sizes[0], to: sizes[1], kernels: kernels)
        #expect(resized.count == single.count && resized.count == double.count)
        #expect(resized[0..<width] == stored[0..<width])
        #expect(Kernels.compare(resized, double).maximumAbsoluteDifference <= 1e-6)
        // PyTorch's float32 rounds the sampling positions, so its own error grows with the values (here up to 4).
        let comparison = Kernels.compare(resized, single)
        #expect(comparison.maximumAbsoluteDifference <= 1e-6 * max(1, comparison.maximumAbsolute))
    }

    /// Spec weights: of output `i`, the first tap and the weights of four taps in a row.
    private struct Taps: Sendable {
        let from: Int
        let to: Int
        let output: Int
        let first: Int
        let weights: [Float]
    }

    private static let published = [
        Taps(from: 16, to: 24, output: 0, first: -2, weights: [-0.01736111, 0.16087963, 0.94328704, -0.08680556]),
        Taps(from: 16, to: 24, output: 1, first: -1, weights: [-0.09375, 0.59375, 0.59375, -0.09375]),
        Taps(from: 16, to: 24, output: 2, first: 0, weights: [-0.08680556, 0.94328704, 0.16087963, -0.01736111]),
        Taps(from: 16, to: 24, output: 12, first: 6, weights: [-0.01736111, 0.16087963, 0.94328704, -0.08680556]),
        Taps(from: 14, to: 16, output: 0, first: -2, weights: [-0.00274658, 0.05242920, 0.99151611, -0.04119873]),
        Taps(from: 14, to: 16, output: 1, first: -1, weights: [-0.02142334, 0.18511963, 0.92913818, -0.09283447]),
    ]

    @Test("have the published weights, edges replicated", arguments: published)
    private func weights(taps: Taps) {
        for column in 0..<taps.from {
            // A grid that is 1 in one column: every row gives that column's weight for each output.
            var grid = [Float](repeating: 0, count: 1 + taps.from * taps.from)
            for row in 0..<taps.from { grid[1 + row * taps.from + column] = 1 }
            let resized = PositionGrid.resize(grid, width: 1, from: taps.from, to: taps.to, kernels: kernels)
            var expected: Float = 0
            for (number, weight) in taps.weights.enumerated()
            where min(max(taps.first + number, 0), taps.from - 1) == column { expected += weight }
            for row in 0..<taps.to {
                #expect(abs(resized[1 + row * taps.to + taps.output] - expected) < 1e-6)
            }
        }
    }

    @Test("an export at another size changes them alone", arguments: Precision.allCases)
    func export(precision: Precision) throws {
        let sample = SampleModel("another size")
        let checkpoint = folder.path("c.safetensors")
        try sample.writeSafetensors(to: checkpoint)
        func model(_ size: Int?) throws -> (ExportReport, ModelFile) {
            let options = ExportOptions(
                checkpoint: checkpoint, output: folder.path("m.albef"), precision: precision, imageSize: size)
            return (try Exporter.run(options), try ModelFile(path: options.output))
        }
        let (_, plain) = try model(nil)
        let (report, large) = try model(10)
        #expect(try model(6).1.digest == plain.digest)
        #expect(large.configuration.imageSize == 10 && large.configuration.imageTokens == 26)
        #expect(report.summary.contains("interpolated from pictures of 6x6"))
        #expect(report.json["interpolated_from_image_size"]?.int == 6)
        let name = WeightReader.positionsName
        let stored = try #require(sample.tensors[name]).values
        #expect(
            try large.tensor(name, shape: Shape(26, 64)).read()
                == PositionGrid.resize(stored, width: 64, from: 3, to: 5, kernels: kernels))
        for tensor in plain.tensors where tensor.kind == .float32 && tensor.name != name {
            #expect(try large.tensor(tensor.name, shape: tensor.shape).read(as: Float.self) == plain.tensor(tensor.name, shape: tensor.shape).read())
        }
        for tensor in plain.tensors where tensor.kind != .float32 {
            let (channels, depth) = (tensor.shape[0], tensor.shape[1])
            #expect(
                try Kernels.unpack(large.matrix(tensor.name, channels: channels, depth: depth))
                    == Kernels.unpack(plain.matrix(tensor.name, channels: channels, depth: depth)))
        }
    }
}
