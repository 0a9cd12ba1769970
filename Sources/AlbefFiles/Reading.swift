import Glibc

/// All bytes of a file, or of a pipe.
///
/// - Parameter limit: The most bytes that are read; a longer file is malformed. Memory grows with the content only.
public func readFile(_ path: String, limit: Int) throws(FileError) -> [UInt8] {
    let descriptor = try System.openForReading(path)
    defer { close(descriptor) }
    let status = try System.status(of: descriptor, path: path)
    guard !status.isFolder else { throw .unreadable(path: path, reason: "it is a folder") }
    let tooLong = FileError.malformed(
        path: path, field: "file size", found: status.isRegular ? "\(status.size) bytes" : "longer",
        expected: "at most \(limit) bytes")
    guard !status.isRegular || status.size <= limit else { throw tooLong }
    var bytes: [UInt8] = []
    // One more than the file says it holds, so that its end is seen without a second allocation.
    var step = status.isRegular ? max(4096, status.size + 1) : 1 << 16
    while try System.read(descriptor, into: &bytes, atMost: step, path: path) > 0 {
        guard bytes.count <= limit else { throw tooLong }
        step = 1 << 16
    }
    return bytes
}

/// What tells whether a file has been replaced or written to.
public struct FileStamp: Sendable, Equatable {
    private let device, node: UInt
    private let size: Int
    private let seconds, nanoseconds: Int

    /// The file's present stamp; nil where there is no regular file of this path.
    public init?(path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        device = UInt(status.st_dev)
        node = UInt(status.st_ino)
        size = Int(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}

/// The regular files in a folder (a link to a file counts), as paths relative to it, in the order of their bytes.
///
/// - Parameter recursively: Whether folders inside are searched too; links to folders are not followed.
public func listFolder(_ path: String, recursively: Bool) throws(FileError) -> [String] {
    var files: [String] = []
    var folders = [""]
    while let folder = folders.popLast() {
        let place = folder.isEmpty ? path : path + "/" + folder
        for entry in try entries(of: place) {
            let relative = folder.isEmpty ? entry : folder + "/" + entry
            var status = stat()
            let full = place + "/" + entry
            // What vanishes while the folder is read, and links that lead nowhere, are no files.
            guard unsafe lstat(full, &status) == 0 else { continue }
            let isLink = status.st_mode & S_IFMT == S_IFLNK
            if isLink { guard unsafe stat(full, &status) == 0 else { continue } }
            switch status.st_mode & S_IFMT {
            case S_IFREG: files.append(relative)
            case S_IFDIR where recursively && !isLink: folders.append(relative)
            default: break
            }
        }
    }
    return files.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}

/// Names in a folder, without `.` and `..`.
private func entries(of path: String) throws(FileError) -> [String] {
    guard let folder = unsafe opendir(path) else {
        if errno == ENOTDIR { throw .unreadable(path: path, reason: "it is not a folder") }
        throw System.readError(path)
    }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while true {
        errno = 0
        guard let entry = unsafe readdir(folder) else {
            guard errno == 0 else { throw System.readError(path) }
            return names
        }
        // Safe: the name is zero-terminated inside the record, which lives until the next call.
        guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { return names }
        let name = unsafe UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
        let text = unsafe String(cString: name)
        if text != "." && text != ".." { names.append(text) }
    }
}
