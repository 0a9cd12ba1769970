import AlbefFiles
import AlbefKernels

/// How many threads a process should use when nobody says: what the scheduler will really give it.
public enum ThreadBudget {
    /// The number of processors in the affinity mask, or the whole processors of the control group's quota where that is
    /// less; at least 1. A container with a quota of 1.5 processors on a 64-core host gets 2, not 64.
    public static func available() -> Int {
        available(processors: Kernels.availableProcessors) { path in
            guard let bytes = try? readFile(path, limit: 1 << 20) else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// - Parameters:
    ///   - processors: That the thread team may use.
    ///   - text: The content of a file of the system; nil where there is none.
    static func available(processors: Int, text: @escaping (String) -> String?) -> Int {
        var least = min(processors, Kernels.maximumThreads)
        // The team's own count ignores the mask where a user has turned its affinity off.
        if let mask = text("/proc/self/status").flatMap(parseAllowedProcessors) { least = min(least, mask) }
        if let quota = ControlGroups(text).quota() { least = min(least, quota) }
        return max(1, least)
    }

    /// The number of processors in the affinity mask by the text of `/proc/self/status`, such as `0-3,8`.
    static func parseAllowedProcessors(_ status: String) -> Int? {
        let key = "Cpus_allowed_list:"
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix(key) }) else { return nil }
        var count = 0
        for range in line.dropFirst(key.count).split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" }) {
            let ends = range.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1], first <= last else {
                return nil
            }
            count += last - first + 1
        }
        return count > 0 ? count : nil
    }
}

/// The control groups that a process belongs to, by the texts of the files in which the system tells of them.
struct ControlGroups {
    private let text: (String) -> String?
    private let mounts: [Mount]
    private let memberships: [Membership]

    /// - Parameter text: The content of a file; nil where there is none.
    init(_ text: @escaping (String) -> String?) {
        self.text = text
        mounts = (text("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap(Mount.init)
        memberships = (text("/proc/self/cgroup") ?? "").split(separator: "\n").compactMap(Membership.init)
    }

    /// The tightest processor quota of a group and of all groups above it, in processors, rounded up; nil where there is none.
    func quota() -> Int? {
        memberships.compactMap { group in
            mounts.filter { $0.version == group.version && $0.holdsProcessors }.flatMap { $0.folders(of: group.path) }
                .compactMap { group.version == 2 ? quotaVersion2($0) : quotaVersion1($0) }.min()
        }.min()
    }

    /// Where a hierarchy of groups can be read: a line of `/proc/self/mountinfo`.
    struct Mount {
        let version: Int
        /// The group whose folder the mount point is; in a container often the container's own.
        let root: String
        let point: String
        /// Whether quotas of processor time may stand there.
        let holdsProcessors: Bool

        init?(_ line: Substring) {
            // 32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime … - cgroup cgroup rw,cpu
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { return nil }
            switch fields[dash + 1] {
            case "cgroup2": (version, holdsProcessors) = (2, true)
            case "cgroup": (version, holdsProcessors) = (1, fields[dash + 3].split(separator: ",").contains("cpu"))
            default: return nil
            }
            root = Mount.unescaped(fields[3])
            point = Mount.unescaped(fields[4])
        }

        /// The folders of a group and of those above it, as far as the mount shows them.
        func folders(of path: String) -> [String] {
            ancestors(of: relative(path)).map { $0 == "/" ? point : point + $0 }
        }

        /// A group's path below the mount point. One that the mount does not show, such as the host's name of a container, is
        /// the mount point itself.
        private func relative(_ path: String) -> String {
            if path.split(separator: "/").contains("..") { return "/" }
            if root == "/" { return path }
            return path.hasPrefix(root + "/") ? String(path.dropFirst(root.count)) : "/"
        }

        /// `/a/b` gives `/a/b`, `/a`, `/`.
        private func ancestors(of path: String) -> [String] {
            let parts = path.split(separator: "/")
            return (0...parts.count).reversed().map { "/" + parts[..<$0].joined(separator: "/") }
        }

        /// Blanks and backslashes in paths stand as three octal digits.
        private static func unescaped(_ text: Substring) -> String {
            var bytes: [UInt8] = []
            var rest = text.utf8[...]
            while let byte = rest.popFirst() {
                if byte == UInt8(ascii: "\\"), let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
                    bytes.append(code)
                    rest = rest.dropFirst(3)
                } else {
                    bytes.append(byte)
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// Which group of a hierarchy a process is in: a line of `/proc/self/cgroup`.
    struct Membership {
        let version: Int
        let path: String

        init?(_ line: Substring) {
            // 0::/user.slice, or 1:cpu,cpuacct:/docker/1234
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { return nil }
            if fields[0] == "0" && fields[1].isEmpty {
                version = 2
            } else if fields[1].split(separator: ",").contains("cpu") {
                version = 1
            } else {
                return nil
            }
            path = String(fields[2])
        }
    }

    private func quotaVersion2(_ folder: String) -> Int? {
        text(folder + "/cpu.max").flatMap(ControlGroups.parseCPUMax)
    }

    private func quotaVersion1(_ folder: String) -> Int? {
        guard let quota = text(folder + "/cpu.cfs_quota_us"), let period = text(folder + "/cpu.cfs_period_us") else {
            return nil
        }
        return ControlGroups.parseCPUMax(quota + " " + period)
    }

    /// Processors from a quota and a period, as `cpu.max` holds them: "150000 100000" is 2, "max 100000" and -1 are no limit.
    static func parseCPUMax(_ text: String) -> Int? {
        let fields = text.split { $0 == " " || $0 == "\n" }
        guard fields.count == 2, let quota = Int(fields[0]), let period = Int(fields[1]), quota > 0, period > 0 else {
            return nil
        }
        return (quota - 1) / period + 1
    }
}
