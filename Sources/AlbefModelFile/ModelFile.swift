import AlbefFiles
import AlbefTensor

/// A mapped model file. Its weights are used where they lie; opening it checks every size, offset and small section, and
/// copies no weight.
///
/// Immutable, and safe to share between threads.
public final class ModelFile: Sendable {
    /// The path as given.
    public var path: String { file.path }
    /// Sizes of the model and preparation of its inputs.
    public let configuration: ModelConfiguration
    /// How its matrices are stored.
    public let precision: Precision
    /// What it was trained for; only a label.
    public let task: ModelTask
    /// The WordPiece vocabulary; an entry's index is its id.
    public let vocabulary: [String]
    /// The answers that visual question answering ranks; nil for other models.
    public let answers: [String]?
    /// Where the model comes from.
    public let provenance: Provenance
    /// What the model computes, as 64 hexadecimal digits: a SHA-256 over the decoded contents of all sections but the
    /// provenance. It does not depend on how texts were compressed, or by which exporter.
    public let digest: String
    /// This very file, as 64 hexadecimal digits: the SHA-256 over its header and its section table, which holds the SHA-256 of
    /// every section.
    public let fileDigest: String
    /// Version of the format, such as `1.0`.
    public let formatVersion: String
    /// Bytes of the file.
    public var byteCount: Int { file.byteCount }
    /// All tensors, in the order of the file.
    public let tensors: [TensorEntry]
    /// All sections, in the order of the file.
    public let sections: [SectionEntry]

    private let file: MappedFile
    private let index: [String: Int]
    private let weightsOffset: Int
    private let replacements: [String: PackedMatrix]

    /// Maps and checks a model file.
    ///
    /// Checked are the version, every size and offset, the sums of the header, the section table and all sections but the
    /// weights, and that scales, vectors and embeddings of positions are finite. For the weights' own sum see
    /// ``verifySums()``. Memory is bounded by the file's size: compressed sections may grow at most 256-fold.
    public convenience init(path: String) throws(ModelFileError) {
        let file: MappedFile
        do throws(FileError) { file = try MappedFile(path: path) } catch { throw .file(error) }
        try self.init(file)
    }

    init(_ file: MappedFile) throws(ModelFileError) {
        let path = file.path
        let table = try SectionTable(file)
        let reader = try SectionReader(file, table.sections)
        let weights = try reader.entry(.weights)
        let tensors = try TensorTable(try reader.content(.tensors), weightsSize: weights.storedSize, path: path)
        (configuration, precision, task) = try reader.configuration()
        vocabulary = try reader.lines(.vocabulary)
        answers = reader.has(.answers) ? try reader.lines(.answers) : nil
        provenance = try reader.provenance()
        guard vocabulary.count == configuration.vocabSize else {
            throw .malformed(
                path: path, field: "vocabulary", found: "\(vocabulary.count) entries",
                expected: "vocab_size \(configuration.vocabSize)")
        }
        digest = try reader.contentDigest()
        self.file = file
        fileDigest = hexadecimal(table.sum)
        formatVersion = table.version
        sections = table.sections
        self.tensors = tensors.tensors
        index = tensors.index
        weightsOffset = weights.offset
        replacements = [:]
        for tensor in self.tensors { try checkSmallBlocks(tensor) }
        // The system maps the surroundings of every page that was touched, weights that a task may never read among them.
        file.releasePages()
    }

    private init(_ other: ModelFile, _ replacements: [String: PackedMatrix]) {
        (configuration, precision, task) = (other.configuration, other.precision, other.task)
        (vocabulary, answers, provenance) = (other.vocabulary, other.answers, other.provenance)
        (digest, fileDigest, formatVersion) = (other.digest, other.fileDigest, other.formatVersion)
        (tensors, sections) = (other.tensors, other.sections)
        (file, index, weightsOffset) = (other.file, other.index, other.weightsOffset)
        self.replacements = other.replacements.merging(replacements) { _, new in new }
    }

    /// The same file with other matrices in the place of some of its own, for measuring what a matrix's type costs. Listings
    /// and digests stay those of the file.
    ///
    /// - Precondition: every name is that of a matrix of the file with the same shape.
    public func replacing(_ matrices: [String: PackedMatrix]) -> ModelFile {
        for (name, matrix) in matrices {
            precondition(entry(name)?.shape == Shape(matrix.channels, matrix.depth), "\(name) has another shape")
        }
        return ModelFile(self, matrices)
    }

    /// Whether there is a tensor of this name.
    public func contains(_ name: String) -> Bool { index[name] != nil }

    /// The listing of a tensor; nil when there is none of this name.
    public func entry(_ name: String) -> TensorEntry? { index[name].map { tensors[$0] } }

    /// A weight matrix, int8 or float32 as the file has it; it lies in the mapped file.
    ///
    /// - Throws: ``ModelFileError``: the tensor is missing, is no matrix, or has another shape.
    public func matrix(_ name: String, channels: Int, depth: Int) throws(ModelFileError) -> PackedMatrix {
        let expected = Shape(channels, depth)
        guard let tensor = entry(name) else { throw .missingTensor(path: path, name: name) }
        guard tensor.kind != .float32, tensor.shape == expected else {
            throw wrong(tensor, expected: "a matrix of shape \(expected)")
        }
        if let replacement = replacements[name] { return replacement }
        guard tensor.kind == .matrixInt8 else {
            let shape = PackedLayout.float32Shape(channels: channels, depth: depth)
            return .float32(
                PackedFloat32Matrix(channels: channels, depth: depth, values: try block(tensor, 0, shape, .float32)))
        }
        let row = Shape(PackedLayout.paddedChannels(channels))
        return .int8(
            PackedInt8Matrix(
                channels: channels, depth: depth,
                values: try block(tensor, 0, PackedLayout.int8Shape(channels: channels, depth: depth), .int8),
                scales: try block(tensor, 1, row, .float32), columnSums: try block(tensor, 2, row, .int32)))
    }

    /// A plain float32 tensor, such as a bias; it lies in the mapped file.
    ///
    /// - Throws: ``ModelFileError``: the tensor is missing, is a packed matrix, or has another shape.
    public func tensor(_ name: String, shape: Shape) throws(ModelFileError) -> ConstantTensor {
        guard let tensor = entry(name) else { throw .missingTensor(path: path, name: name) }
        guard tensor.kind == .float32, tensor.shape == shape else {
            throw wrong(tensor, expected: "a plain float32 tensor of shape \(shape)")
        }
        return try block(tensor, 0, shape, .float32)
    }

    /// Reads the whole file and compares every section with its SHA-256; checks that float32 matrices are finite.
    public func verifySums() throws(ModelFileError) {
        for section in sections {
            var sum = SHA256()
            file.withBytes { sum.update($0.extracting(section.offset..<(section.offset + section.storedSize))) }
            guard sum.finalize() == section.sum else { throw .wrongSum(path: path, part: section.name) }
        }
        for tensor in tensors where tensor.kind == .matrixFloat32 {
            let values = try block(tensor, 0, Shape(tensor.sizes[0] / 4), .float32)
            if !BlockCheck.isFinite(values) { throw notFinite("values", tensor) }
        }
    }

    /// Scales, column sums and plain tensors are small, so that a bad one is found before anything is computed.
    private func checkSmallBlocks(_ tensor: TensorEntry) throws(ModelFileError) {
        switch tensor.kind {
        case .matrixFloat32: break
        case .float32:
            let values = try block(tensor, 0, Shape(tensor.shape.count), .float32)
            if !BlockCheck.isFinite(values) { throw notFinite("values", tensor) }
        case .matrixInt8:
            let (channels, row) = (tensor.shape[0], Shape(PackedLayout.paddedChannels(tensor.shape[0])))
            let scales = try block(tensor, 1, row, .float32)
            if !BlockCheck.areScales(scales, channels: channels) { throw notFinite("scales", tensor) }
            let sums = try block(tensor, 2, row, .int32)
            guard BlockCheck.areColumnSums(sums, channels: channels, depth: tensor.shape[1]) else {
                throw .malformed(
                    path: path, field: "column sums of '\(tensor.name)'", found: "out of range",
                    expected: "at most 127 times the depth, and zeros in the padding")
            }
        }
        // Blocks follow each other at multiples of 64 bytes; what lies between must be zero.
        for (offset, size) in zip(tensor.offsets, tensor.sizes) where size % Format.alignment != 0 {
            let end = weightsOffset + offset + size
            let gap = min(Format.aligned(end), file.byteCount) - end
            guard file.copy(at: end, count: gap)?.allSatisfy({ $0 == 0 }) == true else {
                throw .malformed(
                    path: path, field: "padding behind '\(tensor.name)'", found: "not zero", expected: "zeros")
            }
        }
    }

    private func block(_ tensor: TensorEntry, _ number: Int, _ shape: Shape, _ type: ElementType)
        throws(ModelFileError) -> ConstantTensor
    {
        guard let block = file.tensor(at: weightsOffset + tensor.offsets[number], shape: shape, type: type) else {
            throw .malformed(
                path: path, field: "block \(number) of '\(tensor.name)'", found: "outside of the file",
                expected: "to lie in the weights")
        }
        return block
    }

    private func notFinite(_ what: String, _ tensor: TensorEntry) -> ModelFileError {
        .malformed(
            path: path, field: "\(what) of '\(tensor.name)'", found: "not finite or out of range",
            expected: what == "scales" ? "finite numbers of at least 0, and zeros in the padding" : "finite numbers")
    }

    private func wrong(_ tensor: TensorEntry, expected: String) -> ModelFileError {
        let found = tensor.kind == .float32 ? "a plain float32 tensor of shape" : "a matrix of shape"
        return .wrongTensor(path: path, name: tensor.name, found: "\(found) \(tensor.shape)", expected: expected)
    }
}
