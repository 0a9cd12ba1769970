import AlbefTensor
import CAlbefKernels

extension Kernels {
    /// What this machine multiplies and adds at most with these threads and this instruction set, in 10⁹ multiply-adds a
    /// second: the best of some short runs of loops that stay in registers. Takes some tens of milliseconds.
    public func measurePeak() -> (int8GMACs: Double, float32GMACs: Double) {
        (
            best { alb_peak_int8(isa.code, threadCount, $0) },
            best { alb_peak_f32(isa.code, threadCount, $0) }
        )
    }

    /// How fast these threads read memory that no cache holds, in 10⁹ bytes a second: the best of some passes over `byteCount`
    /// bytes.
    public func measureReadBandwidth(byteCount: Int = 256 << 20) -> Double {
        let arena = Arena(capacity: byteCount)
        let buffer = arena.reserve(Shape(byteCount), .uint8)
        let start = unsafe arena.pointer(to: buffer)
        // Pages that were never written would all be one page of zeros.
        unsafe start.initializeMemory(as: UInt8.self, repeating: 1, count: byteCount)
        var best = 0.0
        for _ in 0..<5 {
            let (amount, seconds) = timed { unsafe alb_peak_read(threadCount, start, byteCount) }
            best = max(best, amount / seconds)
        }
        return best / 1e9
    }

    /// The best rate of a loop over runs of about half a millisecond: short enough that some meet no other work.
    private func best(_ loop: (Int) -> Double) -> Double {
        var steps = 1000
        while timed({ loop(steps) }).seconds < 5e-4 { steps *= 2 }
        var best = 0.0
        let clock = ContinuousClock()
        // Long enough for the system to move fresh workers onto processors of their own.
        let end = clock.now + .milliseconds(250)
        repeat {
            let (amount, seconds) = timed { loop(steps) }
            best = max(best, amount / seconds)
        } while clock.now < end
        return best / 1e9
    }

    private func timed(_ body: () -> Double) -> (amount: Double, seconds: Double) {
        let clock = ContinuousClock()
        let start = clock.now
        let amount = body()
        return (amount, (clock.now - start) / Duration.seconds(1))
    }
}
