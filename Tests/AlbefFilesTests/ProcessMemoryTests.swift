import Testing

@testable import AlbefFiles

@Suite("The memory of this process")
struct ProcessMemoryTests {
    @Test("a line of the system's status is read by its name")
    func lines() {
        let status = "Name:\tx\nVmHWM:\t   1234 kB\nVmRSS:\t 5 kB\n"
        #expect(ProcessMemory.kilobytes("VmHWM", in: status) == 1234)
        #expect(ProcessMemory.kilobytes("VmRSS", in: status) == 5)
        #expect(ProcessMemory.kilobytes("Vm", in: status) == nil)
        #expect(ProcessMemory.kilobytes("Name", in: status) == nil)
    }

    @Test("the peak falls when it is reset, and rises with what is written")
    func peak() throws {
        let size = 64 << 20
        func use() -> Int { [UInt8](repeating: 1, count: size).reduce(0) { $0 + Int($1) } }
        #expect(use() == size)
        let high = try #require(ProcessMemory.peakResidentBytes())
        #expect(high > size)
        if ProcessMemory.resetPeak() {
            let low = try #require(ProcessMemory.peakResidentBytes())
            #expect(use() == size)
            #expect(try #require(ProcessMemory.peakResidentBytes()) > low)
        }
    }
}
