import Glibc

/// What memory this process takes, as the system counts it.
public enum ProcessMemory {
    /// The most bytes that were resident at one time (`VmHWM`), mapped pages of files among them; nil where the system does not
    /// tell.
    public static func peakResidentBytes() -> Int? {
        guard let bytes = try? readFile("/proc/self/status", limit: 1 << 16) else { return nil }
        return kilobytes("VmHWM", in: String(decoding: bytes, as: UTF8.self)).map { $0 * 1024 }
    }

    /// Makes what is resident now the peak; false where the system does not allow it.
    public static func resetPeak() -> Bool {
        let descriptor = unsafe open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // Safe: one byte of a constant, for the length of the call. 5 stands for the peak alone.
        return unsafe write(descriptor, "5", 1) == 1
    }

    /// The number of a line such as `VmHWM:     1234 kB`.
    static func kilobytes(_ key: String, in status: String) -> Int? {
        for line in status.split(separator: "\n") where line.hasPrefix(key + ":") {
            return Int(line.dropFirst(key.count + 1).drop { $0 == " " || $0 == "\t" }.prefix { $0.isNumber })
        }
        return nil
    }
}
