import Glibc

/// Lines for a person or a program that runs a command. Only the commands call this: libraries return values and throw.
public enum StandardStreams {
    /// Writes one line to standard error, and nothing to anywhere else. A closed stream is ignored: there is nobody to tell.
    public static func reportLine(_ text: String) { emit(text + "\n", to: STDERR_FILENO) }

    /// Rewrites the current line of standard error, for progress. Call only if ``errorIsTerminal``.
    public static func reportProgress(_ text: String) { emit("\r\u{1B}[K" + text, to: STDERR_FILENO) }

    /// Writes one line to standard output at once, so that a program at the other end of a pipe sees it.
    ///
    /// - Throws: ``FileError/unwritable(path:reason:)`` if the reader has gone or the disk is full.
    public static func writeLine(_ text: String) throws(FileError) {
        guard emit(text + "\n", to: STDOUT_FILENO) else {
            throw .unwritable(path: "standard output", reason: reason(errno))
        }
    }

    /// Makes a write to a pipe without reader an error like any other, where the system would end the process by a signal.
    /// For the whole process; call at its start.
    public static func reportClosedPipes() {
        _ = signal(SIGPIPE, SIG_IGN)
    }

    /// True if a person watches standard error.
    public static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Writes all of `text`, however many calls it takes; false if the stream refuses.
    @discardableResult
    private static func emit(_ text: String, to descriptor: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            // Safe: the pointer and count are those of the array slice, for the length of the call.
            let written = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { return false }
            bytes = bytes.dropFirst(written)
        }
        return true
    }

    private static func reason(_ code: Int32) -> String {
        // Safe: strerror returns a C string of the library that stays valid until the next call.
        unsafe String(cString: strerror(code))
    }
}
