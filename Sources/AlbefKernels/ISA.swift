import CAlbefKernels

/// An instruction set for which kernel variants exist. Each operation takes its best variant at or below it.
public enum ISA: String, Sendable, CaseIterable {
    case scalar, avx2, avxvnni, avx512vnni, neon, dotprod, i8mm

    /// True when this build has variants for it and this CPU runs them.
    public var isSupported: Bool { alb_isa_supported(code) }

    /// The most preferred one that this CPU runs.
    public static var best: ISA { ISA(code: alb_isa_best()) }

    /// All that this CPU runs, from the reference to the most preferred.
    public static var supported: [ISA] { allCases.filter(\.isSupported) }

    var code: alb_isa {
        switch self {
        case .scalar: ALB_ISA_SCALAR
        case .avx2: ALB_ISA_AVX2
        case .avxvnni: ALB_ISA_AVXVNNI
        case .avx512vnni: ALB_ISA_AVX512VNNI
        case .neon: ALB_ISA_NEON
        case .dotprod: ALB_ISA_DOTPROD
        case .i8mm: ALB_ISA_I8MM
        }
    }

    /// The instruction set that a user named.
    ///
    /// - Throws: ``KernelError/unsupportedISA(_:)`` for a name that is unknown or that this CPU does not run; its text lists
    ///   those that may be used.
    public static func named(_ name: String) throws(KernelError) -> ISA {
        guard let isa = ISA(rawValue: name), isa.isSupported else { throw .unsupportedISA(name) }
        return isa
    }

    init(code: alb_isa) {
        self = ISA.allCases.first { $0.code == code } ?? .scalar
    }
}
