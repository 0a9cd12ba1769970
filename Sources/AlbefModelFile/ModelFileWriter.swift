import AlbefFiles
import AlbefTensor

/// Writes a model file tensor by tensor: each goes to disk as it is added, so that no more than one need be in memory.
///
/// The file appears under its name, whole, with ``commit(provenance:)``; without it nothing is left behind. The same tensors in
/// the same order, with the same texts, give the same bytes.
public final class ModelFileWriter {
    /// The path as given.
    public let path: String
    private let configuration: ModelConfiguration
    private let precision: Precision
    private let task: ModelTask
    private let vocabulary: [String]
    private let answers: [String]?

    private let file: AtomicFileWriter
    private var tensors: [TensorEntry] = []
    private var names: Set<String> = []
    private var weightsSize = 0
    private var weightsSum = SHA256()

    /// Begins a file.
    ///
    /// - Parameters:
    ///   - vocabulary: One entry for each of the configuration's `vocabSize`, none with a line feed.
    ///   - answers: nil for models that do not answer questions; none with a line feed.
    public init(
        path: String, configuration: ModelConfiguration, precision: Precision, task: ModelTask, vocabulary: [String],
        answers: [String]? = nil
    ) throws(ModelFileError) {
        self.path = path
        self.configuration = configuration
        self.precision = precision
        self.task = task
        self.vocabulary = vocabulary
        self.answers = answers
        do throws(ConfigurationError) { try configuration.validate() } catch {
            throw .unwritable(path: path, field: "'\(error.key)'", found: error.found, expected: error.expected)
        }
        guard vocabulary.count == configuration.vocabSize else {
            throw .unwritable(
                path: path, field: "vocabulary", found: "\(vocabulary.count) entries",
                expected: "vocab_size \(configuration.vocabSize)")
        }
        for (field, lines) in [("vocabulary", vocabulary), ("answers", answers ?? [])] {
            for line in lines where line.utf8.contains(0x0A) {
                throw .unwritable(path: path, field: field + " entry '\(line)'", found: "of two lines", expected: "one line")
            }
        }
        do throws(FileError) {
            file = try AtomicFileWriter(path: path)
            // The header is known at the end.
            try file.write(Array(repeating: 0, count: Format.headerSize))
        } catch { throw .file(error) }
    }

    /// Adds a plain float32 tensor: a vector or an embedding of positions; `[]` is the shape of a scalar.
    ///
    /// - Precondition: there are as many values as the shape says, at least one.
    public func add(_ name: String, _ values: [Float], shape: [Int]) throws(ModelFileError) {
        guard let shape = Shape(validating: shape) else {
            throw .unwritable(path: path, field: "shape of '\(name)'", found: "\(shape)", expected: "at most 4 dimensions")
        }
        precondition(values.count == shape.count, "\(name): values and shape differ")
        try add(name, .float32, shape, [ConstantTensor(values, shape: shape)])
    }

    /// Adds an int8 matrix of `[channels, depth]`.
    ///
    /// - Parameters:
    ///   - values: Packed as `[N/16, K/4, 16, 4]`; see `PackedLayout`.
    ///   - scales: One for each channel; padding may be left out.
    ///   - columnSums: One for each channel; padding may be left out.
    public func add(
        _ name: String, channels: Int, depth: Int, values: [Int8], scales: [Float], columnSums: [Int32]
    ) throws(ModelFileError) {
        let row = Shape(PackedLayout.paddedChannels(channels))
        let matrix = PackedInt8Matrix(
            channels: channels, depth: depth,
            values: ConstantTensor(values, shape: PackedLayout.int8Shape(channels: channels, depth: depth)),
            scales: ConstantTensor(scales + Array(repeating: 0, count: row.count - scales.count), shape: row),
            columnSums: ConstantTensor(columnSums + Array(repeating: 0, count: row.count - columnSums.count), shape: row))
        try add(name, .int8(matrix))
    }

    /// Adds a float32 matrix of `[channels, depth]`, packed as `[N/16, K, 16]`; see `PackedLayout`.
    public func add(_ name: String, channels: Int, depth: Int, values: [Float]) throws(ModelFileError) {
        let shape = PackedLayout.float32Shape(channels: channels, depth: depth)
        try add(
            name,
            .float32(PackedFloat32Matrix(channels: channels, depth: depth, values: ConstantTensor(values, shape: shape))))
    }

    /// Adds a packed matrix.
    public func add(_ name: String, _ matrix: PackedMatrix) throws(ModelFileError) {
        let shape = Shape(matrix.channels, matrix.depth)
        switch matrix {
        case .int8(let matrix): try add(name, .matrixInt8, shape, [matrix.values, matrix.scales, matrix.columnSums])
        case .float32(let matrix): try add(name, .matrixFloat32, shape, [matrix.values])
        }
    }

    private func add(_ name: String, _ kind: TensorKind, _ shape: Shape, _ blocks: [ConstantTensor])
        throws(ModelFileError)
    {
        guard isName(name.utf8) else {
            throw .unwritable(path: path, field: "tensor name '\(name)'", found: "of other characters", expected: "ASCII")
        }
        guard names.insert(name).inserted else {
            throw .unwritable(path: path, field: "tensor '\(name)'", found: "there twice", expected: "every name once")
        }
        guard shape.count > 0, let sizes = TensorEntry.blockSizes(kind, shape) else {
            throw .unwritable(
                path: path, field: "shape of '\(name)'", found: "\(shape)",
                expected: "dimensions above 0, and a depth of at most \(Format.maximumInt8Depth) for int8")
        }
        for block in blocks where block.type == .float32 && !BlockCheck.isFinite(block) {
            throw .unwritable(path: path, field: "tensor '\(name)'", found: "not finite", expected: "finite numbers")
        }
        var offsets: [Int] = []
        for (block, size) in zip(blocks, sizes) {
            precondition(block.byteCount == size)
            let offset = Format.aligned(weightsSize)
            let padding = [UInt8](repeating: 0, count: offset - weightsSize)
            do throws(FileError) {
                try file.write(padding)
                weightsSum.update(padding)
                try block.withBytes { (bytes) throws(FileError) in
                    try file.write(bytes)
                    weightsSum.update(bytes)
                }
            } catch { throw .file(error) }
            offsets.append(offset)
            weightsSize = offset + size
        }
        tensors.append(TensorEntry(name: name, kind: kind, shape: shape, offsets: offsets, sizes: sizes))
    }

    /// Writes what remains, syncs, and gives the file its name.
    public func commit(provenance: Provenance) throws(ModelFileError) {
        try complete(provenance)
        do throws(FileError) { try file.commit() } catch { throw .file(error) }
    }

    /// Writes what remains and opens the file, which never gets a name: it is gone when the model is. What stands at the path
    /// stays as it was.
    public func commitWithoutName(provenance: Provenance) throws(ModelFileError) -> ModelFile {
        try complete(provenance)
        let mapped: MappedFile
        do throws(FileError) { mapped = try file.commitWithoutName() } catch { throw .file(error) }
        return try ModelFile(mapped)
    }

    private func complete(_ provenance: Provenance) throws(ModelFileError) {
        var sections = [
            SectionEntry(
                kind: .weights, code: SectionKind.weights.rawValue, isCompressed: false, offset: Format.headerSize,
                storedSize: weightsSize, size: weightsSize, sum: weightsSum.finalize())
        ]
        do throws(FileError) {
            try pad()
            sections.append(try write(.tensors, TensorTable.encode(tensors), compressed: false))
            let settings = SectionReader.encode(configuration, precision, task)
            sections.append(try write(.configuration, settings, compressed: false))
            sections.append(try write(.vocabulary, Lines.encode(vocabulary), compressed: true))
            if let answers { sections.append(try write(.answers, Lines.encode(answers), compressed: true)) }
            sections.append(try write(.provenance, provenance.json.utf8, compressed: true))
            try finish(sections)
        } catch { throw .file(error) }
    }

    private func write(_ kind: SectionKind, _ content: [UInt8], compressed: Bool) throws(FileError) -> SectionEntry {
        var stored = content
        var isCompressed = false
        // What shrinks beyond the reader's bound on expansion is stored as it is.
        if compressed, let frame = Compression.compress(content), content.count <= frame.count * Format.maximumExpansion {
            stored = frame
            isCompressed = true
        }
        let entry = SectionEntry(
            kind: kind, code: kind.rawValue, isCompressed: isCompressed, offset: file.byteCount, storedSize: stored.count,
            size: content.count, sum: SHA256.digest(of: stored))
        try file.write(stored)
        try pad()
        return entry
    }

    private func pad() throws(FileError) {
        try file.write(Array(repeating: 0, count: Format.aligned(file.byteCount) - file.byteCount))
    }

    private func finish(_ sections: [SectionEntry]) throws(FileError) {
        var table: [UInt8] = []
        for section in sections {
            table.append(little: section.code)
            table.append(little: UInt32(section.isCompressed ? 1 : 0))
            table.append(little: section.offset)
            table.append(little: section.storedSize)
            table.append(little: section.size)
            table += section.sum
        }
        var header = Format.magic
        header.append(little: Format.major)
        header.append(little: Format.minor)
        header.append(little: file.byteCount + table.count)
        header.append(little: file.byteCount)
        header.append(little: UInt32(sections.count))
        header += Array(repeating: 0, count: Format.summedHeaderSize - header.count)
        try file.write(table)
        try file.overwrite(at: 0, header + SHA256.digest(of: header + table))
    }
}
