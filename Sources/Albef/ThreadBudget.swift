import AlbefFiles
import AlbefKernels

/// How many threads a process should use when nobody says: what the scheduler will really give it.
public enum ThreadBudget {
    /// The number of processors in the affinity mask, or the whole processors of the control group's quota where that is
    /// less; at least 1. A container with a quota of 1.5 processors on a 64-core host gets 2, not 64.
    public static func available() -> Int {
        let processors = min(Kernels.availableProcessors, Kernels.maximumThreads)
        guard let quota = controlGroupQuota() else { return max(1, processors) }
        return max(1, min(processors, quota))
    }

    /// The tightest quota among the process's control group and its parents, rounded up; nil where there is none.
    private static func controlGroupQuota() -> Int? {
        guard let membership = text("/proc/self/cgroup") else { return nil }
        var tightest: Int?
        for line in membership.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let version2 = fields[0] == "0" && fields[1].isEmpty
            guard version2 || fields[1].split(separator: ",").contains("cpu") else { continue }
            let root = version2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu"
            for path in ancestors(of: String(fields[2])) {
                let folder = root + (path == "/" ? "" : path)
                guard let quota = version2 ? quotaVersion2(folder) : quotaVersion1(folder) else { continue }
                tightest = min(tightest ?? quota, quota)
            }
        }
        return tightest
    }

    /// `/a/b` gives `/a/b`, `/a`, `/`. In a container's own namespace only the root may exist.
    static func ancestors(of path: String) -> [String] {
        var parts = path.split(separator: "/").map(String.init)
        var result: [String] = []
        while !parts.isEmpty {
            result.append("/" + parts.joined(separator: "/"))
            parts.removeLast()
        }
        return result + ["/"]
    }

    /// Processors from the text of `cpu.max`: "150000 100000" is 2, "max 100000" is no limit.
    static func parseCPUMax(_ text: String) -> Int? {
        let fields = text.split { $0 == " " || $0 == "\n" }
        guard fields.count == 2, let quota = Int(fields[0]), let period = Int(fields[1]) else { return nil }
        return processors(quota: quota, period: period)
    }

    private static func quotaVersion2(_ folder: String) -> Int? { text(folder + "/cpu.max").flatMap(parseCPUMax) }

    private static func quotaVersion1(_ folder: String) -> Int? {
        guard let quota = text(folder + "/cpu.cfs_quota_us").flatMap({ Int($0.prefix { $0 != "\n" }) }),
            let period = text(folder + "/cpu.cfs_period_us").flatMap({ Int($0.prefix { $0 != "\n" }) })
        else { return nil }
        return processors(quota: quota, period: period)
    }

    private static func processors(quota: Int, period: Int) -> Int? {
        guard quota > 0, period > 0 else { return nil }
        return (quota - 1) / period + 1
    }

    private static func text(_ path: String) -> String? {
        guard let bytes = try? readFile(path, limit: 65_536) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
