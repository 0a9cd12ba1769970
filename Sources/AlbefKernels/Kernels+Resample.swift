import CAlbefKernels

extension Kernels {
    /// The greatest width or height of a resized picture.
    public static let maximumResizedSide = Int(ALB_RESAMPLE_MAXIMUM)

    /// Resizes an 8-bit RGB picture as Pillow's `resize(..., BICUBIC)` does it, bit for bit.
    ///
    /// Memory beside the result: 12 bytes for each of its pixels and at most 16 MiB, however large the source is.
    ///
    /// - Parameters:
    ///   - pixels: Rows of `width * 3` bytes.
    ///   - size: Width and height of the result, each from 1 to ``maximumResizedSide``; the aspect ratio is not kept.
    /// - Returns: Rows of `size.width * 3` bytes.
    /// - Source: Pillow 12.3 `src/libImaging/Resample.c`; the algorithm stands in `alb_resample.h`.
    public func resizeRGB(_ pixels: [UInt8], width: Int, height: Int, to size: (width: Int, height: Int)) -> [UInt8] {
        precondition(width > 0 && height > 0 && width <= Int(Int32.max) && height <= Int(Int32.max))
        precondition(pixels.count == width * height * 3)
        precondition(min(size.width, size.height) > 0)
        precondition(max(size.width, size.height) <= Kernels.maximumResizedSide)
        let scratchSize = alb_resample_rgb_scratch(threadCount, width, height, size.width, size.height)
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: scratchSize, alignment: 64)
        defer { unsafe scratch.deallocate() }
        let count = size.width * size.height * 3
        return unsafe Array(unsafeUninitializedCapacity: count) { result, initialized in
            // Safe: both arrays hold what the sizes say, and count is above 0, so there is a base address.
            unsafe alb_resample_rgb(
                isa.code, threadCount, pixels, width, height, result.baseAddress!, size.width, size.height, scratch)
            initialized = count
        }
    }
}
