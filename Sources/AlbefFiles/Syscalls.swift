import Glibc

/// The system calls that the rest of this target uses, with their results checked in one place.
enum System {
    /// What `stat` says of an open file.
    struct Status {
        let size: Int
        let isRegular: Bool
        let isFolder: Bool
    }

    /// The system's text for an error number.
    static func text(of code: CInt) -> String {
        // Safe: glibc returns a static text, or a buffer of this thread that lives until the next call.
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }

    /// The error for a failed read: a missing file is told apart from one that may not be read.
    static func readError(_ path: String, _ code: CInt = errno) -> FileError {
        code == ENOENT || code == ENOTDIR ? .missing(path: path) : .unreadable(path: path, reason: text(of: code))
    }

    static func writeError(_ path: String, _ code: CInt = errno) -> FileError {
        .unwritable(path: path, reason: text(of: code))
    }

    /// Opens a file for reading. A pipe without a writer does not block: every caller checks what it opened.
    static func openForReading(_ path: String) throws(FileError) -> CInt {
        guard !path.isEmpty else { throw .missing(path: path) }
        guard !path.utf8.contains(0) else { throw .missing(path: path) }
        let descriptor = retrying { unsafe open(path, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw readError(path) }
        return descriptor
    }

    static func status(of descriptor: CInt, path: String) throws(FileError) -> Status {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw readError(path) }
        let format = status.st_mode & S_IFMT
        guard let size = Int(exactly: status.st_size), size >= 0 else {
            throw .unreadable(path: path, reason: "its size is out of range")
        }
        return Status(size: size, isRegular: format == S_IFREG, isFolder: format == S_IFDIR)
    }

    /// Reads once, at most `count` bytes, and appends them; returns how many there were, 0 at the end.
    static func read(_ descriptor: CInt, into bytes: inout [UInt8], atMost count: Int, path: String) throws(FileError)
        -> Int
    {
        var result = 0
        let chunk = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            // Safe: the buffer has room for `count` bytes, and the system says how many it wrote.
            result = retrying { unsafe Glibc.read(descriptor, buffer.baseAddress, count) }
            initialized = max(0, result)
        }
        guard result >= 0 else { throw readError(path) }
        if bytes.isEmpty { bytes = chunk } else { bytes += chunk }
        return result
    }

    /// Writes all bytes.
    static func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer, path: String) throws(FileError) {
        var done = 0
        guard let start = bytes.baseAddress else { return }
        while done < bytes.count {
            // Safe: `done` stays below the buffer's size.
            let count = retrying { unsafe Glibc.write(descriptor, start + done, bytes.count - done) }
            guard count >= 0 else { throw writeError(path) }
            done += count
        }
    }

    /// Repeats a call that a signal interrupted.
    static func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
        while true {
            let result = call()
            if result != -1 || errno != EINTR { return result }
        }
    }

    /// The folder that holds `path`.
    static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.utf8.startIndex ? "/" : String(path[..<slash])
    }
}
