import AlbefKernels
import CAlbefKernels
import Foundation

/// Random numbers whose seed is a test's name, so that a failure can be repeated.
struct TestRandom: RandomNumberGenerator {
    let seed: UInt64
    private var state: UInt64

    init(_ name: String) {
        // FNV-1a
        seed = name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        state = seed
    }

    // SplitMix64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// A million floats of both signs and many magnitudes, made once; tests take pieces from a random place.
let randomFloats: [Float] = {
    var random = TestRandom("random floats")
    var exponent = 0
    return (0..<1 << 20).map { index in
        let bits = random.next()
        // Neighbours have like magnitudes, so that a row is not ruled by its greatest element.
        if index % 37 == 0 { exponent = Int(bits >> 58) % 6 - 3 }
        if bits & 0x3f == 0 { return 0 }
        return Float(sign: .plus, exponent: exponent, significand: Float(Int32(truncatingIfNeeded: bits >> 8)) * 0x1p-31)
    }
}()

/// Memory between two pages that must not be touched: a read or write of one byte outside stops the test.
final class Guarded<Element> {
    enum Placement: CaseIterable { case atStart, atEnd }

    let count: Int
    let start: UnsafeMutablePointer<Element>
    private let mapping: UnsafeMutableRawPointer
    private let mappedBytes: Int

    init(_ count: Int, _ placement: Placement) {
        let page = Int(getpagesize())
        let bytes = count * MemoryLayout<Element>.stride
        let inner = max(page, (bytes + page - 1) / page * page)
        self.count = count
        mappedBytes = inner + 2 * page
        mapping = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        precondition(mapping != MAP_FAILED)
        mprotect(mapping, page, PROT_NONE)
        mprotect(mapping + page + inner, page, PROT_NONE)
        let first = placement == .atStart ? mapping + page : mapping + page + inner - bytes
        start = first.bindMemory(to: Element.self, capacity: count)
    }

    convenience init(_ values: [Element], _ placement: Placement) {
        self.init(values.count, placement)
        values.withUnsafeBufferPointer { if let base = $0.baseAddress { start.update(from: base, count: values.count) } }
    }

    deinit { munmap(mapping, mappedBytes) }

    var array: [Element] { Array(UnsafeBufferPointer(start: start, count: count)) }

    func fill(byte: UInt8) { memset(start, Int32(byte), count * MemoryLayout<Element>.stride) }

    /// The first element whose bytes differ, or nil.
    func firstDifference(from other: Guarded<Element>) -> Int? {
        precondition(count == other.count)
        let stride = MemoryLayout<Element>.stride
        if memcmp(start, other.start, count * stride) == 0 { return nil }
        return (0..<count).first { memcmp(start + $0, other.start + $0, stride) != 0 }
    }
}

extension Guarded where Element == Float {
    /// Filled with random values.
    convenience init(random: inout TestRandom, _ count: Int, _ placement: Placement) {
        self.init(count, placement)
        precondition(count < randomFloats.count)
        let offset = Int.random(in: 0...randomFloats.count - count, using: &random)
        randomFloats.withUnsafeBufferPointer { start.update(from: $0.baseAddress! + offset, count: count) }
    }
}

/// One way to run an operation.
struct Setting: CustomStringConvertible {
    let isa: alb_isa
    let threads: Int32
    var description: String { String(cString: alb_isa_name(isa)) + ", \(threads) threads" }

    /// Every instruction set of this CPU, up to the one that `ALBEF_FORCE_ISA` names, with 1, 2, 3 and 8 threads.
    static let all: [Setting] = instructionSets.flatMap { isa in
        [1, 2, 3, 8].map { Setting(isa: isa, threads: $0) }
    }

    static let instructionSets: [alb_isa] = {
        var ceiling = alb_isa_best()
        if let name = ProcessInfo.processInfo.environment["ALBEF_FORCE_ISA"] {
            let codes = (0..<ALB_ISA_COUNT.rawValue).map { alb_isa(rawValue: $0) }
            guard let code = codes.first(where: { String(cString: alb_isa_name($0)) == name && alb_isa_supported($0) })
            else { preconditionFailure("ALBEF_FORCE_ISA names '\(name)', which does not run here") }
            ceiling = code
        }
        return (0...ceiling.rawValue).map { alb_isa(rawValue: $0) }.filter { alb_isa_supported($0) }
    }()
}

/// The same for the Swift face.
let testedISAs = Setting.instructionSets.compactMap { ISA(rawValue: String(cString: alb_isa_name($0))) }

/// Tests that take minutes run only on request.
let slowTests = ProcessInfo.processInfo.environment["ALBEF_SLOW_TESTS"] == "1"

func paddedChannels(_ n: Int) -> Int { (n + 15) / 16 * 16 }
func paddedDepth(_ k: Int) -> Int { (k + 3) / 4 * 4 }
