@testable import AlbefFiles
@testable import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Foundation
import Testing

@Suite("Model files")
struct ModelFileTests {
    @Test("what was written is read back, each tensor where it lies")
    func roundTrip() throws {
        let folder = try TemporaryFolder()
        try SmallModel.write(folder.file("m.albef"))
        let file = try ModelFile(path: folder.file("m.albef"))
        #expect(file.configuration == SmallModel.configuration && file.precision == .int8 && file.task == .vqa)
        #expect(file.vocabulary == SmallModel.vocabulary && file.answers == ["yes", "no"])
        #expect(file.provenance == SmallModel.provenance && file.formatVersion == "1.0")
        #expect(file.tensors.map(\.name) == ["temp", "packed", "head", "bias"])
        #expect(file.tensors.map(\.kind) == [.float32, .matrixInt8, .matrixFloat32, .float32])
        #expect(file.tensors.map(\.byteCount) == [4, 256 + 128 + 128, 256, 12])
        #expect(file.sections.compactMap(\.kind) == SectionKind.allCases && file.sections.map(\.isCompressed) == [false, false, false, true, true, true])
        #expect(try file.tensor("temp", shape: Shape()).read() == [0.07] as [Float])
        #expect(try file.tensor("bias", shape: Shape(3)).read() == [1, -2, 3] as [Float])
        guard case .int8(let packed) = try file.matrix("packed", channels: 17, depth: 5) else {
            Issue.record("not int8")
            return
        }
        #expect(packed.values.read() == SmallModel.int8.values)
        #expect(packed.scales.read() == SmallModel.int8.scales + [Float](repeating: 0, count: 15))
        #expect(packed.columnSums.read() == SmallModel.int8.sums + [Int32](repeating: 0, count: 15))
        guard case .float32(let head) = try file.matrix("head", channels: 3, depth: 4) else {
            Issue.record("not float32")
            return
        }
        #expect(head.values.read() == (0..<64).map { Float($0) })
        for tensor in [packed.values, packed.scales, packed.columnSums, head.values] {
            #expect(unsafe UInt(bitPattern: tensor.pointer) % 64 == 0)
        }
        #expect(file.contains("bias") && !file.contains("Bias") && file.entry("bias")?.shape == Shape(3))
        try file.verifySums()
    }

    @Test("the same content gives the same bytes; the digest names what is computed, the file digest the file")
    func determinism() throws {
        let folder = try TemporaryFolder()
        for name in ["a", "b"] { try SmallModel.write(folder.file(name)) }
        #expect(try readFile(folder.file("a"), limit: 1 << 20) == readFile(folder.file("b"), limit: 1 << 20))
        let other = Provenance(checkpointName: "other", checkpointDigest: "", exporterVersion: "9")
        try SmallModel.write(folder.file("c"), provenance: other)
        try SmallModel.write(folder.file("d"), answers: ["yes", "noo"])
        var plain = Parts(try readFile(folder.file("a"), limit: 1 << 20))
        plain[.vocabulary] = Lines.encode(SmallModel.vocabulary)
        try folder.write(plain.seal(), "e")
        let files = try ["a", "c", "d", "e"].map { try ModelFile(path: folder.file($0)) }
        #expect(files[0].digest == files[1].digest && files[0].fileDigest != files[1].fileDigest)
        #expect(files[0].digest != files[2].digest)
        #expect(files[0].digest == files[3].digest && files[0].fileDigest != files[3].fileDigest)
        #expect(files[0].digest.count == 64 && files[0].fileDigest.count == 64)
    }

    @Test("a model without answers has none, and an empty list is a list")
    func answers() throws {
        let folder = try TemporaryFolder()
        try SmallModel.write(folder.file("a"), answers: nil)
        try SmallModel.write(folder.file("b"), answers: [])
        #expect(try ModelFile(path: folder.file("a")).answers == nil && ModelFile(path: folder.file("b")).answers == [])
    }

    @Test("asking for what is not there names file, tensor, found and expected")
    func requests() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("m.albef")
        try SmallModel.write(path)
        let file = try ModelFile(path: path)
        func text(_ body: () throws -> Void) -> String { (failure(of: body) as? ModelFileError)?.description ?? "no error" }
        #expect(
            text { _ = try file.matrix("itm_head.weight", channels: 2, depth: 4) }
                == "\(path): the model has no tensor 'itm_head.weight', which this needs. Export a checkpoint that has it with albef-export.")
        #expect(
            text { _ = try file.matrix("packed", channels: 17, depth: 6) }
                == "\(path): tensor 'packed' has a matrix of shape [17, 5], expected a matrix of shape [17, 6]. Export it again with albef-export.")
        #expect(text { _ = try file.matrix("bias", channels: 3, depth: 1) }.contains("has a plain float32 tensor of shape [3]"))
        #expect(text { _ = try file.tensor("packed", shape: Shape(17, 5)) }.contains("expected a plain float32 tensor"))
        #expect(text { _ = try file.tensor("bias", shape: Shape(3, 1)) }.contains("expected a plain float32 tensor of shape [3, 1]"))
        #expect(text { _ = try file.tensor("none", shape: Shape(3)) }.contains("no tensor 'none'"))
    }

    @Test("a writer that is not committed leaves nothing behind")
    func dropped() throws {
        let folder = try TemporaryFolder()
        do { try SmallModel.addAll(SmallModel.begin(folder.file("m"))) }
        #expect(try folder.names() == [])
    }

    @Test("the writer refuses what a reader would refuse")
    func writer() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("m")
        func refused(_ what: String, _ body: (ModelFileWriter) throws -> Void) {
            let error = failure { try body(SmallModel.begin(path)) } as? ModelFileError
            guard case .unwritable = error else {
                Issue.record("\(what): \(error.map { "\($0)" } ?? "no error")")
                return
            }
        }
        for value in [Float.infinity, -.infinity, .nan] {
            refused("vector \(value)") { try $0.add("x", [1, value], shape: [2]) }
            refused("scale \(value)") {
                try $0.add("x", channels: 1, depth: 1, values: [Int8](repeating: 0, count: 64), scales: [value], columnSums: [0])
            }
            refused("matrix \(value)") {
                try $0.add("x", channels: 1, depth: 1, values: [value] + [Float](repeating: 0, count: 15))
            }
        }
        for name in ["", "a b", "é", "a\n", String(repeating: "x", count: 513)] {
            refused("name \(name)") { try $0.add(name, [1], shape: [1]) }
        }
        refused("twice") {
            try $0.add("x", [1], shape: [1])
            try $0.add("x", [1], shape: [1])
        }
        refused("empty") { try $0.add("x", [], shape: [0]) }
        refused("rank") { try $0.add("x", [1], shape: [1, 1, 1, 1, 1]) }
        refused("depth") {
            try $0.add(
                "x", channels: 1, depth: 32_772, values: [Int8](repeating: 0, count: 16 * 32_772), scales: [1], columnSums: [0])
        }
        refused("answers") { _ in _ = try SmallModel.begin(path, answers: ["a\nb"]) }
        var configuration = SmallModel.configuration
        configuration.vocabSize = 8
        refused("vocabulary") { _ in
            _ = try ModelFileWriter(
                path: path, configuration: configuration, precision: .int8, task: .vqa, vocabulary: SmallModel.vocabulary)
        }
        #expect(try folder.names() == [])
        let error = failure { _ = try SmallModel.begin(folder.file("no/where")) } as? ModelFileError
        #expect(error?.kind == .inputOutput)
    }

    @Test("opening a large model touches few of its pages and copies no weight")
    func memory() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("m")
        let writer = try SmallModel.begin(path)
        let (channels, depth) = (4096, 4096)
        let values = [Int8](repeating: 3, count: channels * depth)
        for number in 0..<4 {
            try writer.add(
                "m\(number)", channels: channels, depth: depth, values: values, scales: [Float](repeating: 1, count: channels),
                columnSums: [Int32](repeating: 3 * 4096, count: channels))
        }
        try writer.commit(provenance: SmallModel.provenance)
        let before = try anonymousKilobytes()
        let file = try ModelFile(path: path)
        _ = try file.matrix("m3", channels: channels, depth: depth)
        #expect(try anonymousKilobytes() - before < 4096 && file.byteCount > 64 << 20)
    }

    /// RssAnon of this process.
    private func anonymousKilobytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") })
        return try #require(Int(line.split { !$0.isNumber }[0]))
    }
}

@Suite("Model configurations")
struct ConfigurationTests {
    @Test("a configuration survives JSON, with its keys in the documented order")
    func roundTrip() throws {
        let json = SmallModel.configuration.json
        #expect(try ModelConfiguration(json: JSONValue(parsing: json.text)) == SmallModel.configuration)
        #expect(
            json.members?.map(\.key).joined(separator: ", ")
                == "image_size, patch_size, vision_width, vision_layers, vision_heads, text_width, text_layers, fusion_layer, text_heads, "
                + "embed_dim, vocab_size, max_positions, decoder_layers, gradcam_layer, max_words, mean, std")
        #expect(SmallModel.configuration.patchGrid == 8 && SmallModel.configuration.imageTokens == 65)
        #expect(SmallModel.configuration.visionHeadWidth == 32 && SmallModel.configuration.textHeadWidth == 32)
    }

    @Test("a value that cannot be is refused and named", arguments: [
        ("image_size", 65), ("image_size", 0), ("image_size", 4104), ("image_size", -64), ("image_size", "64"), ("patch_size", 7),
        ("patch_size", 0), ("vision_width", 130), ("vision_width", 8196), ("vision_layers", 0), ("vision_heads", 3),
        ("vision_heads", 0), ("text_width", 97), ("text_layers", 2), ("fusion_layer", 4), ("fusion_layer", -1), ("text_heads", 5),
        ("embed_dim", 0), ("vocab_size", 16_777_217), ("max_positions", 0), ("decoder_layers", 257), ("gradcam_layer", 1),
        ("gradcam_layer", 4), ("max_words", 0), ("max_words", 1.5), ("max_words", nil), ("mean", [0, 0]), ("mean", [0, 0, "x"]),
        ("mean", 3), ("mean", [0, 0, 1e300]), ("std", [1, 1, 0]), ("std", [1, -1, 1]), ("std", [1, 1, 1, 1]), ("unknown", 1),
    ] as [(String, JSONValue)])
    func refused(key: String, value: JSONValue) {
        var members = SmallModel.configuration.json.members ?? []
        if let index = members.firstIndex(where: { $0.key == key }) {
            members[index] = JSONMember(key, value)
        } else {
            members.append(JSONMember(key, value))
        }
        let error = failure { _ = try ModelConfiguration(json: .object(members)) } as? ConfigurationError
        #expect(error != nil && error?.kind == .badData)
        // Sizes that must fit each other may be blamed on either.
        #expect(error?.key == key || ["image_size", "vision_width", "text_width", "text_layers"].contains(key), "\(error?.key ?? "")")
    }

    @Test("every key is needed", arguments: ModelConfiguration.keys)
    func missing(key: String) {
        let members = (SmallModel.configuration.json.members ?? []).filter { $0.key != key }
        let error = failure { _ = try ModelConfiguration(json: .object(members)) } as? ConfigurationError
        #expect(error?.key == key && error?.found == "missing")
        #expect(throws: ConfigurationError.self) { try ModelConfiguration(json: .null) }
    }
}
