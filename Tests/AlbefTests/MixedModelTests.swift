import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Testing

@testable import Albef

@Suite("Models with int8 and float32 matrices")
struct MixedModelTests {
    private func trace(_ model: Model, isa: ISA = .best, threads: Int = 2) throws -> [Trace] {
        let session = try Session(model: model, kernels: Kernels(isa: isa, threads: threads))
        let image = try PreparedImage(pixels: TinyModel().pixels(), for: model)
        return [
            try session.trace(
                Session.TraceRequest(image: image, caption: model.prepare("a red dog on the left", for: .caption), blocks: true)),
            try session.trace(
                Session.TraceRequest(image: image, question: model.prepare("what color is the dog", for: .question))),
        ]
    }

    private func digests(_ traces: [Trace]) -> [String] { traces.flatMap { $0.tensors.map { $0.name + $0.digest } } }

    /// The parts of a model of which `isFloat` says which matrices are float32.
    private func parts(_ isFloat: (Int, String) -> Bool) -> [TinyModel.Part] {
        var tiny = TinyModel()
        let int8 = tiny.parts()
        tiny.precision = .float32
        var number = -1
        return zip(int8, tiny.parts()).map { quantised, float in
            guard case .matrix(let name, .int8) = quantised else { return quantised }
            number += 1
            return isFloat(number, name) ? float : quantised
        }
    }

    /// Matrices that can be of either type.
    private static let matrices = TinyModel().weights.filter { $0.form == .matrix }.map(\.name)

    @Test("any one matrix may be of the other type; every instruction set and number of threads gives the same bytes", arguments: [
        Precision.int8, .float32,
    ])
    func oneMatrix(precision: Precision) throws {
        var tiny = TinyModel()
        tiny.precision = precision
        var other = TinyModel()
        other.precision = precision == .int8 ? .float32 : .int8
        try tiny.withFile { path in
            let file = try ModelFile(path: path)
            let plain = digests(try trace(Model(file)))
            try other.withFile { path in
                let second = try ModelFile(path: path)
                var different = 0
                for name in Self.matrices {
                    let shape = try #require(second.entry(name)?.shape)
                    let matrix = try second.matrix(name, channels: shape[0], depth: shape[1])
                    let model = try Model(file.replacing([name: matrix]))
                    let expected = digests(try trace(model, isa: .scalar, threads: 1))
                    #expect(digests(try trace(model, threads: 3)) == expected, "\(name)")
                    if expected != plain { different += 1 }
                }
                // What a query weighs may vanish where the values are quantised again.
                #expect(different >= Self.matrices.count - 2)
            }
        }
    }

    @Test("a file of both types gives the bytes of the same matrices put together in memory, on every instruction set")
    func files() throws {
        for pattern in [{ (number: Int) in number % 2 == 0 }, { $0 % 3 == 0 }, { $0 % 7 != 0 }, { _ in true }] {
            let isFloat = { (number: Int, _: String) in pattern(number) }
            try TinyModel().withFile(parts: parts(isFloat)) { path in
                let model = try Model(path: path)
                #expect(model.file.precision == .int8)
                try model.file.verifySums()
                let floats = model.file.tensors.filter { $0.kind == .matrixFloat32 }.map(\.name)
                #expect(floats.count >= Self.matrices.indices.count(where: pattern))
                var plain = TinyModel()
                plain.precision = .float32
                let expected = digests(try trace(model, isa: .scalar, threads: 1))
                for isa in ISA.supported {
                    for threads in [1, 2, 8] {
                        #expect(digests(try trace(model, isa: isa, threads: threads)) == expected, "\(isa), \(threads) threads")
                    }
                }
                try plain.withFile { floatPath in
                    let float = try ModelFile(path: floatPath)
                    try TinyModel().withFile { int8Path in
                        var replaced: [String: PackedMatrix] = [:]
                        for name in Set(floats).intersection(Self.matrices) {
                            let shape = try #require(float.entry(name)?.shape)
                            replaced[name] = try float.matrix(name, channels: shape[0], depth: shape[1])
                        }
                        let together = try Model(ModelFile(path: int8Path).replacing(replaced))
                        #expect(digests(try trace(together)) == expected)
                    }
                }
            }
        }
    }
}
