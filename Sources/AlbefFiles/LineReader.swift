import Glibc

/// Reads a stream line by line, as its lines come, and holds no more than one of them and a block of what follows.
public struct LineReader {
    /// One line, without its line feed.
    public enum Line: Sendable, Equatable {
        case bytes([UInt8])
        /// A line of more bytes than the limit; it was skipped.
        case tooLong
    }

    private let descriptor: CInt
    private let name: String
    private let limit: Int
    private var buffer: [UInt8] = []
    /// Where the next line begins in the buffer, and how far the search for its end has come.
    private var start = 0, searched = 0
    private var atEnd = false

    private static let block = 1 << 16

    /// - Parameters:
    ///   - descriptor: Open for reading; it stays open.
    ///   - name: What errors call it.
    ///   - limit: Bytes of a line at most.
    init(descriptor: CInt, name: String, limit: Int) {
        self.descriptor = descriptor
        self.name = name
        self.limit = limit
    }

    /// Standard input, in lines of at most `limit` bytes.
    public static func standardInput(limit: Int) -> LineReader {
        LineReader(descriptor: STDIN_FILENO, name: "standard input", limit: limit)
    }

    /// The next line, or nil at the end. What follows the last line feed is a line too unless it is empty.
    public mutating func next() throws(FileError) -> Line? {
        var skipping = false
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { (start, searched) = (end + 1, end + 1) }
                return line(upTo: end, skipping)
            }
            searched = buffer.count
            if atEnd {
                if start == buffer.count && !skipping { return nil }
                defer { start = buffer.count }
                return line(upTo: buffer.count, skipping)
            }
            if buffer.count - start > limit { skipping = true }
            buffer.removeSubrange(..<(skipping ? buffer.count : start))
            (start, searched) = (0, buffer.count)
            let count = try System.read(descriptor, into: &buffer, atMost: LineReader.block, path: name)
            atEnd = count == 0
        }
    }

    private func line(upTo end: Int, _ skipping: Bool) -> Line {
        skipping || end - start > limit ? .tooLong : .bytes(Array(buffer[start..<end]))
    }
}
