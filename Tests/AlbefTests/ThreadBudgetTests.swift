import Foundation
import Testing

@testable import Albef

/// What the system's files would say in a made-up place.
struct Place: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var files: [String: String]
    /// Processors that the thread team counts.
    var processors = 64
    var expected: Int

    init(
        _ name: String, mounts: String, groups: String, _ files: [String: String] = [:], status: String = "",
        processors: Int = 64, expected: Int
    ) {
        testDescription = name
        self.files = files
        self.files["/proc/self/mountinfo"] = mounts
        self.files["/proc/self/cgroup"] = groups
        self.files["/proc/self/status"] = status
        self.processors = processors
        self.expected = expected
    }
}

private let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
private let split = """
    31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
    34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw

    """

private let places = [
    Place("a machine without control groups", mounts: "", groups: "", expected: 64),
    Place("no file can be read", mounts: "", groups: "", processors: 3, expected: 3),
    Place(
        "a unified hierarchy without a quota", mounts: unified, groups: "0::/a\n",
        ["/sys/fs/cgroup/a/cpu.max": "max 100000\n"], expected: 64),
    Place(
        "a quota of the group itself", mounts: unified, groups: "0::/a/b\n",
        ["/sys/fs/cgroup/a/b/cpu.max": "150000 100000\n", "/sys/fs/cgroup/a/cpu.max": "max 100000\n"], expected: 2),
    Place(
        "a tighter quota above", mounts: unified, groups: "0::/a/b/c\n",
        ["/sys/fs/cgroup/a/b/c/cpu.max": "800000 100000\n", "/sys/fs/cgroup/a/cpu.max": "300000 100000\n"], expected: 3),
    Place(
        "a quota below is not the process's own", mounts: unified, groups: "0::/a\n",
        ["/sys/fs/cgroup/a/b/cpu.max": "100000 100000\n"], expected: 64),
    Place(
        "a container with a name space of its own", mounts: unified, groups: "0::/\n",
        ["/sys/fs/cgroup/cpu.max": "50000 100000\n"], expected: 1),
    Place(
        "a process outside of its name space", mounts: unified, groups: "0::/../other\n",
        ["/sys/fs/cgroup/cpu.max": "200000 100000", "/sys/fs/cgroup/../other/cpu.max": "100000 100000"], expected: 2),
    Place(
        "the first version", mounts: split, groups: "5:cpuset:/x\n3:cpu,cpuacct:/x/y\n0::/z\n",
        [
            "/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n", "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
        ], expected: 3),
    Place(
        "the first version in a container that sees the host's names",
        mounts: "32 31 0:29 /docker/1f /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n", groups: "3:cpu:/docker/1f\n",
        ["/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"], expected: 4),
    Place(
        "a group below the container's", mounts: "30 23 0:26 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        groups: "0::/pod/task\n", ["/sys/fs/cgroup/task/cpu.max": "500000 100000"], expected: 5),
    Place(
        "both versions, the tighter one counts", mounts: split, groups: "3:cpu,cpuacct:/\n0::/\n",
        [
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "600000", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            "/sys/fs/cgroup/unified/cpu.max": "200000 100000",
        ], expected: 2),
    Place(
        "a mount point with a blank", mounts: #"30 23 0:26 / /my\040groups rw - cgroup2 cgroup2 rw"#, groups: "0::/a",
        ["/my groups/a/cpu.max": "700000 100000"], expected: 7),
    Place(
        "a mask narrower than the quota", mounts: unified, groups: "0::/\n", ["/sys/fs/cgroup/cpu.max": "800000 100000"],
        status: "Name:\tx\nCpus_allowed:\t0f\nCpus_allowed_list:\t0-2,5\nMems_allowed_list:\t0\n", expected: 4),
    Place("a team smaller than the mask", mounts: "", groups: "", status: "Cpus_allowed_list:\t0-7\n", processors: 2, expected: 2),
    Place("files of nonsense", mounts: "- - -\ncgroup2", groups: "::\n0:\nabc", status: "Cpus_allowed_list:\tx\n", expected: 64),
]

@Suite("Thread budget")
struct ThreadBudgetTests {
    @Test("affinity mask and control groups bound the threads", arguments: places)
    func place(place: Place) {
        #expect(ThreadBudget.available(processors: place.processors) { place.files[$0] } == place.expected)
    }

    @Test("this process gets at least one thread, and no more than its mask has")
    func here() {
        #expect((1...ProcessInfo.processInfo.activeProcessorCount).contains(ThreadBudget.available()))
    }

    @Test(
        "a control group's quota is rounded up to whole processors",
        arguments: [
            ("150000 100000\n", 2), ("100000 100000", 1), ("50000 100000", 1), ("max 100000", nil), ("", nil), ("0 1", nil),
            ("-1 100000", nil), ("100001 100000", 2), ("100000", nil), ("1 2 3", nil), ("100000 0", nil), ("max max", nil),
        ] as [(String, Int?)])
    func quota(text: String, expected: Int?) { #expect(ControlGroups.parseCPUMax(text) == expected) }

    @Test(
        "a list of processors is counted",
        arguments: [
            ("0", 1), ("0-1", 2), ("0-3,8", 5), ("2,4,6-9", 6), ("", nil), ("3-1", nil), ("a", nil), ("1-", nil), ("1-2-3", nil),
        ] as [(String, Int?)])
    func mask(list: String, expected: Int?) {
        #expect(ThreadBudget.parseAllowedProcessors("Cpus_allowed_list:\t\(list)\n") == expected)
        #expect(ThreadBudget.parseAllowedProcessors("Threads:\t1\n") == nil)
    }
}
