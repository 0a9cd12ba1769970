@testable import AlbefFiles
@testable import AlbefModelFile
import AlbefTensor
import AlbefTestSupport

/// A model file with a handful of tensors that cover every kind of block and every need for padding.
enum SmallModel {
    static let configuration = ModelConfiguration(
        imageSize: 64, patchSize: 8, visionWidth: 128, visionLayers: 4, visionHeads: 4, textWidth: 96, textLayers: 4,
        fusionLayer: 2, textHeads: 3, embedDim: 64, vocabSize: 7, maxPositions: 64, decoderLayers: 0, gradcamLayer: 3,
        maxWords: 30, mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711])
    static let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "é", ""]
    static let provenance = Provenance(
        checkpointName: "small.safetensors", checkpointDigest: String(repeating: "ab", count: 32), exporterVersion: "0.1.0",
        report: ["tensors": 4])

    /// 17 channels of depth 5: both are padded.
    static let int8 = (
        values: (0..<256).map { Int8($0 % 250 - 125) }, scales: (0..<17).map { Float($0) * 0.01 },
        sums: (0..<17).map { Int32($0 * 10 - 80) }
    )

    static func begin(_ path: String, answers: [String]? = ["yes", "no"]) throws -> ModelFileWriter {
        try ModelFileWriter(
            path: path, configuration: configuration, precision: .int8, task: .vqa, vocabulary: vocabulary, answers: answers)
    }

    static func addAll(_ writer: ModelFileWriter) throws {
        try writer.add("temp", [0.07], shape: [])
        try writer.add("packed", channels: 17, depth: 5, values: int8.values, scales: int8.scales, columnSums: int8.sums)
        try writer.add("head", channels: 3, depth: 4, values: (0..<64).map { Float($0) })
        try writer.add("bias", [1, -2, 3], shape: [3])
    }

    static func write(_ path: String, answers: [String]? = ["yes", "no"], provenance: Provenance = provenance) throws {
        let writer = try begin(path, answers: answers)
        try addAll(writer)
        try writer.commit(provenance: provenance)
    }

    /// The bytes of a valid file.
    static func bytes(answers: [String]? = ["yes", "no"]) throws -> [UInt8] {
        let folder = try TemporaryFolder()
        try write(folder.file("m"), answers: answers)
        return try readFile(folder.file("m"), limit: 1 << 20)
    }
}

/// A model file taken apart, so that a test can break one thing and seal the rest again with right sums.
struct Parts {
    struct Section {
        var code: UInt32
        var encoding: UInt32
        var stored: [UInt8]
        var size: UInt64
    }

    var major: UInt32 = 1, minor: UInt32 = 0
    var sections: [Section] = []

    init(_ bytes: [UInt8]) {
        let table = Int(bytes.uint64(at: 24))
        for row in 0..<Int(bytes.uint32(at: 32)) {
            let at = table + 64 * row
            let offset = Int(bytes.uint64(at: at + 8))
            sections.append(
                Section(
                    code: bytes.uint32(at: at), encoding: bytes.uint32(at: at + 4),
                    stored: Array(bytes[offset..<(offset + Int(bytes.uint64(at: at + 16)))]), size: bytes.uint64(at: at + 24)))
        }
    }

    subscript(kind: SectionKind) -> [UInt8] {
        get { sections.first { $0.code == kind.rawValue }?.stored ?? [] }
        set {
            for index in sections.indices where sections[index].code == kind.rawValue {
                sections[index].stored = newValue
                sections[index].encoding = 0
                sections[index].size = UInt64(newValue.count)
            }
        }
    }

    /// Puts the file together. `change` may break the section table before the sums are made.
    func seal(_ change: (inout [UInt8]) -> Void = { _ in }) -> [UInt8] {
        var body = [UInt8](repeating: 0, count: 128)
        var table: [UInt8] = []
        for section in sections {
            table.append(little: section.code)
            table.append(little: section.encoding)
            table.append(little: body.count)
            table.append(little: section.stored.count)
            table.append(little: section.size)
            table += SHA256.digest(of: section.stored)
            body += section.stored
            body += Array(repeating: 0, count: Format.aligned(body.count) - body.count)
        }
        change(&table)
        var header = Format.magic
        header.append(little: major)
        header.append(little: minor)
        header.append(little: body.count + table.count)
        header.append(little: body.count)
        header.append(little: UInt32(table.count / 64))
        header += Array(repeating: 0, count: 96 - header.count)
        header += SHA256.digest(of: header + table)
        body.replaceSubrange(0..<128, with: header)
        return body + table
    }
}

extension [UInt8] {
    /// Replaces a little-endian number.
    mutating func put(_ value: UInt32, at offset: Int) {
        for shift in 0..<4 { self[offset + shift] = UInt8(truncatingIfNeeded: value >> (8 * shift)) }
    }
    mutating func put(_ value: UInt64, at offset: Int) {
        for shift in 0..<8 { self[offset + shift] = UInt8(truncatingIfNeeded: value >> (8 * shift)) }
    }
}
