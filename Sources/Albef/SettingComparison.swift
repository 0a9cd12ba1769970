import AlbefKernels

/// What golden cases give with one instruction set and number of threads, beside a verification's bytes.
public struct SettingComparison: Sendable {
    public let isa: ISA
    public let threads: Int
    /// Cases that were computed with this setting.
    public let cases: Int
    /// Names (`case/tensor`) of tensors that came out otherwise, sorted.
    public let different: [String]

    /// The numbers of threads that cases are computed with.
    public static let threadCounts = 1...16

    /// One case in how many each number of threads computes where the cases are dealt out.
    static let share = 4

    /// The cases for a number of threads, as indices into the golden set.
    ///
    /// - Parameter dealt: False: all. True: every fourth, so that each case has four numbers of threads in turn, four apart. The
    ///   deal moves on by one after every four cases, because neighbours of a set alternate between kinds of pictures.
    static func cases(of count: Int, threads: Int, dealt: Bool) -> [Int] {
        (0..<count).filter { !dealt || ($0 + $0 / share + threads) % share == 0 }
    }
}

extension Model {
    /// Computes golden cases with every instruction set of this processor and 1 to 16 threads.
    ///
    /// The scalar kernels need ten to thirty times as long as the others: for them the cases are dealt out to the numbers of
    /// threads unless `exhaustive` is set.
    ///
    /// - Parameter digests: A verification's digests of all cases, which must come out again.
    public func compareSettings(
        with digests: [String: String], of golden: GoldenSet, exhaustive: Bool = false
    ) throws -> [SettingComparison] {
        try ISA.supported.flatMap { isa in
            try SettingComparison.threadCounts.map { threads in
                let session = try Session(model: self, kernels: Kernels(isa: isa, threads: threads))
                let cases = SettingComparison.cases(
                    of: golden.cases.count, threads: threads, dealt: isa == .scalar && !exhaustive)
                var different: [String] = []
                for example in cases.map({ golden.cases[$0] }) {
                    let own = try session.tensors(of: example, golden)
                    for name in example.tensors {
                        let key = example.name + "/" + name
                        if let digest = own[name]?.digest, digest == digests[key] { continue }
                        different.append(key)
                    }
                }
                return SettingComparison(isa: isa, threads: threads, cases: cases.count, different: different.sorted())
            }
        }
    }
}
