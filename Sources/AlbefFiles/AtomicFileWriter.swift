import Glibc

/// Writes a file that appears whole or not at all: into a temporary file beside the target, synced, then renamed.
///
/// A writer that goes out of scope without ``commit()`` removes its temporary file and leaves the target as it was. Where the
/// file system allows, the temporary file has no name until then, so that nothing remains of it even if the process is killed.
/// One caller at a time; it is not `Sendable`.
public final class AtomicFileWriter {
    /// The path as given.
    public let path: String
    /// Bytes taken so far.
    public private(set) var byteCount = 0

    private let target: String
    /// nil while the temporary file has no name.
    private var temporary: String?
    private var descriptor: CInt
    private var buffer: [UInt8] = []
    private static let bufferSize = 1 << 18

    /// Creates the temporary file. A symbolic link at `path` is followed; a folder or device there is refused.
    public init(path: String) throws(FileError) {
        guard !path.isEmpty, !path.utf8.contains(0) else { throw .unwritable(path: path, reason: "not a file's name") }
        target = try AtomicFileWriter.resolve(path)
        self.path = path
        let folder = System.folder(of: target)
        descriptor = AtomicFileWriter.openNameless(in: folder)
        if descriptor < 0 {
            (temporary, descriptor) = AtomicFileWriter.firstFree(in: folder) { name in
                System.retrying { unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666) }
            }
        }
        guard descriptor >= 0 else { throw System.writeError(path) }
    }

    deinit { discard() }

    /// Appends bytes.
    public func write(_ bytes: [UInt8]) throws(FileError) { try unsafe write(bytes.span.bytes) }

    /// Appends bytes.
    public func write(_ bytes: RawSpan) throws(FileError) {
        guard descriptor >= 0 else { throw .unwritable(path: path, reason: "it is closed") }
        byteCount += bytes.byteCount
        do throws(FileError) {
            if buffer.count + bytes.byteCount > AtomicFileWriter.bufferSize { try flush() }
            if bytes.byteCount > AtomicFileWriter.bufferSize {
                try send(bytes)
            } else {
                unsafe bytes.withUnsafeBytes { source in unsafe buffer.append(contentsOf: source) }
            }
        } catch {
            discard()
            throw error
        }
    }

    /// Replaces bytes that were written before, such as a header that is known only at the end.
    ///
    /// - Precondition: the range lies in what was written.
    public func overwrite(at offset: Int, _ bytes: [UInt8]) throws(FileError) {
        precondition(offset >= 0 && offset <= byteCount && bytes.count <= byteCount - offset)
        guard descriptor >= 0 else { throw .unwritable(path: path, reason: "it is closed") }
        try flush()
        guard lseek(descriptor, offset, SEEK_SET) >= 0 else { throw System.writeError(path) }
        try unsafe send(bytes.span.bytes)
        guard lseek(descriptor, 0, SEEK_END) >= 0 else { throw System.writeError(path) }
    }

    /// Syncs the temporary file, gives it the target's name, and syncs the folder.
    public func commit() throws(FileError) {
        guard descriptor >= 0 else { throw .unwritable(path: path, reason: "it is closed") }
        do throws(FileError) {
            try flush()
            let file = descriptor
            guard System.retrying({ fsync(file) }) == 0 else { throw System.writeError(path) }
            try rename()
        } catch {
            discard()
            throw error
        }
        close(descriptor)
        descriptor = -1
        // The file is complete under its name now; a folder that cannot be opened or synced (some network file systems) only
        // delays its durability.
        let folder = unsafe open(System.folder(of: target), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }

    /// Ends writing without giving the file a name: it lives as long as it is mapped, and the target stays as it was.
    public func commitWithoutName() throws(FileError) -> MappedFile {
        guard descriptor >= 0 else { throw .unwritable(path: path, reason: "it is closed") }
        defer { discard() }
        try flush()
        return try MappedFile(path: temporary ?? "/proc/self/fd/\(descriptor)")
    }

    /// Gives the target's name to the temporary file. A file without a name gets one of its own first, because a link cannot
    /// replace another file.
    private func rename() throws(FileError) {
        if temporary == nil {
            let open = "/proc/self/fd/\(descriptor)"
            let (name, result) = AtomicFileWriter.firstFree(in: System.folder(of: target)) { name in
                unsafe linkat(AT_FDCWD, open, AT_FDCWD, name, AT_SYMLINK_FOLLOW)
            }
            guard result == 0 else { throw System.writeError(path) }
            temporary = name
        }
        guard let temporary, unsafe Glibc.rename(temporary, target) == 0 else { throw System.writeError(path) }
    }

    /// Tries short names of this process's own (the target's may be as long as the file system allows) until one is free:
    /// whoever creates a number first has it. Returns the last name and what `create` made of it.
    private static func firstFree(in folder: String, _ create: (String) -> CInt) -> (String, CInt) {
        for number in 0..<10_000 {
            let name = folder + "/.albef-\(getpid())-\(number).tmp"
            let result = create(name)
            if result >= 0 || errno != EEXIST { return (name, result) }
        }
        return ("", -1)
    }

    private func discard() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        if let temporary { unsafe unlink(temporary) }
    }

    /// Opens a file that no folder lists; -1 where the file system has none, or where it could not be given a name later.
    private static func openNameless(in folder: String) -> CInt {
        // O_TMPFILE, which Swift does not import: the same bit on x86-64 and ARM64, beside O_DIRECTORY.
        let flags = 0o20_000_000 | O_DIRECTORY | O_WRONLY | O_CLOEXEC
        guard unsafe access("/proc/self/fd", X_OK) == 0 else { return -1 }
        return System.retrying { unsafe open(folder, flags, 0o666) }
    }

    private func flush() throws(FileError) {
        if buffer.isEmpty { return }
        var pending: [UInt8] = []
        swap(&pending, &buffer)
        try unsafe send(pending.span.bytes)
        pending.removeAll(keepingCapacity: true)
        swap(&pending, &buffer)
    }

    private func send(_ bytes: RawSpan) throws(FileError) {
        let (file, name) = (descriptor, path)
        var failure: FileError?
        unsafe bytes.withUnsafeBytes { source in
            do throws(FileError) { try unsafe System.write(file, source, path: name) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Where to write: the file that a symbolic link names, and never onto something that is no regular file.
    private static func resolve(_ path: String) throws(FileError) -> String {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw System.writeError(path) }
            guard path.utf8.last != UInt8(ascii: "/") else { throw .unwritable(path: path, reason: "no such folder") }
            return path
        }
        var format = status.st_mode & S_IFMT
        var resolved = path
        if format == S_IFLNK {
            guard let real = unsafe realpath(path, nil) else { throw System.writeError(path) }
            resolved = unsafe String(cString: real)
            unsafe free(real)
            guard unsafe lstat(resolved, &status) == 0 else { throw System.writeError(path) }
            format = status.st_mode & S_IFMT
        }
        if format == S_IFDIR { throw .unwritable(path: path, reason: "it is a folder") }
        guard format == S_IFREG else { throw .unwritable(path: path, reason: "it is not a regular file") }
        return resolved
    }
}

/// Writes a whole file that appears complete or not at all; see ``AtomicFileWriter``.
public func writeAtomically(_ bytes: [UInt8], to path: String) throws(FileError) {
    let writer = try AtomicFileWriter(path: path)
    try writer.write(bytes)
    try writer.commit()
}
