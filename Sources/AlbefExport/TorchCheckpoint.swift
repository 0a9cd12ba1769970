import AlbefFiles
import AlbefTensor

/// A `.pth` file of `torch.save`: a zip archive of one pickle and a file for each storage.
///
/// The state dict is the pickled dictionary itself, or its entry `model` (the trainer's files, with optimiser, scheduler and
/// settings beside it).
struct TorchCheckpoint: Checkpoint {
    /// A pickle larger than this is refused. That of a pre-training checkpoint with its optimiser takes under 1 MB.
    static let maximumPickle = 64 << 20

    let path: String
    let tensors: [CheckpointTensor]
    private let archive: ZipArchive
    /// What stands before `data.pkl` in the archive's names.
    private let prefix: String
    private let views: [String: TorchTensor]

    var format: String { "PyTorch" }
    var metadata: [String: String] { [:] }

    init(_ file: MappedFile) throws(ExportError) {
        path = file.path
        let archive = try ZipArchive(file)
        let pickles = archive.entries.keys.filter { $0 == "data.pkl" || $0.hasSuffix("/data.pkl") }
        guard let pickle = pickles.first, pickles.count == 1 else {
            throw .malformed(
                path: path, field: "archive", reason: "\(pickles.count) entries named data.pkl; a file of torch.save has one")
        }
        prefix = String(pickle.dropLast("data.pkl".count))
        if archive.entries[prefix + "byteorder"] != nil {
            let range = try archive.range(of: prefix + "byteorder")
            guard try file.bytes(range.lowerBound, min(16, range.count)) == Array("little".utf8) else {
                throw .malformed(path: path, field: prefix + "byteorder", reason: "only little-endian files are read")
            }
        }
        let range = try archive.range(of: pickle)
        guard range.count <= TorchCheckpoint.maximumPickle else {
            throw .malformed(
                path: path, field: pickle, reason: "\(range.count) bytes; at most \(TorchCheckpoint.maximumPickle) are read")
        }
        self.archive = archive
        views = try TorchCheckpoint.stateDict(
            try file.bytes(range.lowerBound, range.count), path: path, field: pickle)
        var tensors: [CheckpointTensor] = []
        for (name, view) in views.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            try TorchCheckpoint.check(view, name: name, path: path)
            tensors.append(CheckpointTensor(name: name, type: view.storage.type, shape: view.shape))
        }
        self.tensors = tensors
    }

    func areSameMemory(_ first: String, _ second: String) -> Bool {
        guard let a = views[first], let b = views[second] else { return false }
        return a.storage == b.storage && a.offset == b.offset && a.shape == b.shape && a.strides == b.strides
    }

    func floats(_ name: String) throws(ExportError) -> [Float] {
        guard let view = views[name] else { throw .malformed(path: path, field: name, reason: "no such tensor") }
        let type = view.storage.type
        guard type.isFloatingPoint else { throw .notFloatingPoint(path: path, tensor: name, type: type) }
        let entry = prefix + "data/" + view.storage.key
        let range = try archive.range(of: entry)
        guard view.storage.count <= range.count / type.byteWidth else {
            throw .malformed(
                path: path, field: name,
                reason: "its storage has \(view.storage.count) \(type.rawValue) elements, but \(entry) has \(range.count) bytes")
        }
        if view.shape.contains(0) { return [] }
        // Checked when the file was opened: the last element lies within the storage.
        let span = 1 + zip(view.shape, view.strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 }
        let stored = try convert(range.lowerBound + view.offset * type.byteWidth, span, type)
        return view.isContiguous ? stored : view.gather(stored)
    }

    /// Numbers that follow each other in the file, as float32.
    private func convert(_ start: Int, _ count: Int, _ type: CheckpointElementType) throws(ExportError) -> [Float] {
        // Aligned float32, which is what torch.save writes, is copied in one go.
        if type == .float32, let tensor = archive.file.tensor(at: start, shape: Shape(count), type: .float32) {
            return tensor.read(as: Float.self)
        }
        let bytes = try archive.file.bytes(start, count * type.byteWidth)
        func bits(_ index: Int) -> UInt64 {
            var value: UInt64 = 0
            for byte in stride(from: type.byteWidth - 1, through: 0, by: -1) {
                value = value << 8 | UInt64(bytes[index * type.byteWidth + byte])
            }
            return value
        }
        switch type {
        case .float64: return (0..<count).map { Float(Double(bitPattern: bits($0))) }
        case .float16: return (0..<count).map { Float(Float16(bitPattern: UInt16(bits($0)))) }
        case .bfloat16: return (0..<count).map { Float(bitPattern: UInt32(bits($0)) << 16) }
        default: return (0..<count).map { Float(bitPattern: UInt32(bits($0))) }
        }
    }

    /// The tensors of the state dict in a pickle.
    private static func stateDict(_ pickle: [UInt8], path: String, field: String) throws(ExportError) -> [String: TorchTensor] {
        let graph: PickleGraph
        do { graph = try Unpickler.read(pickle) } catch {
            throw .malformed(path: path, field: "\(field), byte \(error.position)", reason: error.reason)
        }
        guard var entries = graph.entries(graph.root) else {
            throw .malformed(path: path, field: field, reason: "holds \(graph[graph.root].kind), not a state dict")
        }
        if let model = entries.last(where: { $0.key == "model" }) {
            guard let inner = graph.entries(model.reference) else {
                throw .malformed(
                    path: path, field: "\(field), entry 'model'", reason: "holds \(model.value.kind), not a state dict")
            }
            entries = inner
        }
        var tensors: [String: TorchTensor] = [:]
        for entry in entries {
            if case .tensor(let tensor) = entry.value { tensors[entry.key] = tensor } else { tensors[entry.key] = nil }
        }
        return tensors
    }

    /// Refuses a view that does not lie in its storage, or that stands for more elements than the storage has.
    private static func check(_ view: TorchTensor, name: String, path: String) throws(ExportError) {
        func refuse(_ reason: String) -> ExportError { .malformed(path: path, field: name, reason: reason) }
        guard view.strides.count == view.shape.count else {
            throw refuse("shape \(view.shape) and strides \(view.strides) do not match")
        }
        guard (view.shape + view.strides + [view.offset, view.storage.count]).allSatisfy({ $0 >= 0 }) else {
            throw refuse("a negative size, stride or offset")
        }
        var count = 1
        var last = view.offset
        var overflow = false
        for (size, step) in zip(view.shape, view.strides) where !view.shape.contains(0) {
            let product = count.multipliedReportingOverflow(by: size)
            let reach = (size - 1).multipliedReportingOverflow(by: step)
            let end = last.addingReportingOverflow(reach.partialValue)
            overflow = overflow || product.overflow || reach.overflow || end.overflow
            (count, last) = (product.partialValue, end.partialValue)
        }
        guard !overflow, view.shape.contains(0) || (count <= view.storage.count && last < view.storage.count) else {
            throw refuse(
                "shape \(view.shape) with strides \(view.strides) from element \(view.offset) does not fit its storage of "
                    + "\(view.storage.count) elements")
        }
        guard !view.storage.count.multipliedReportingOverflow(by: 8).overflow else { throw refuse("a storage too large") }
    }
}

extension TorchTensor {
    /// True if the elements follow each other in row-major order.
    var isContiguous: Bool {
        var expected = 1
        for (size, step) in zip(shape, strides).reversed() where size != 1 {
            if step != expected { return false }
            expected *= size
        }
        return true
    }

    /// The elements in row-major order, from those of the storage between the first and the last.
    func gather(_ stored: [Float]) -> [Float] {
        var index = Array(repeating: 0, count: shape.count)
        var place = 0
        return (0..<shape.reduce(1, *)).map { _ in
            let value = stored[place]
            for axis in stride(from: shape.count - 1, through: 0, by: -1) {
                index[axis] += 1
                place += strides[axis]
                if index[axis] < shape[axis] { break }
                place -= shape[axis] * strides[axis]
                index[axis] = 0
            }
            return value
        }
    }
}

extension PickleValue {
    /// What it is, for messages.
    var kind: String {
        switch self {
        case .none: "None"
        case .boolean, .integer, .real: "a number"
        case .text: "text"
        case .bytes: "bytes"
        case .list: "a list"
        case .tuple: "a tuple"
        case .dictionary: "a dictionary"
        case .global(let name): "the name \(name)"
        case .storage: "a storage"
        case .tensor: "one tensor"
        case .opaque(let name): "an object of \(name)"
        }
    }
}
