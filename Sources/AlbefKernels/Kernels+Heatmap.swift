import CAlbefKernels

/// What is done with a heatmap once it is computed. All maps are row-major float32 arrays; the bytes are equal for every
/// instruction set and thread count.
extension Kernels {
    /// Resamples a map with cubic convolution, a = -0.75: PyTorch's `interpolate(mode='bicubic', align_corners=False)`.
    ///
    /// - Parameters:
    ///   - map: `rows * columns` values, both at least 1.
    ///   - size: Rows and columns of the result, both at least 1.
    public func upsample(_ map: [Float], rows: Int, columns: Int, to size: (rows: Int, columns: Int)) -> [Float] {
        precondition(rows > 0 && columns > 0 && rows <= Int(Int32.max) && columns <= Int(Int32.max))
        precondition(map.count == rows * columns && size.rows > 0 && size.columns > 0)
        let count = size.rows * size.columns
        return unsafe withFloatScratch(alb_upsample_f32_scratch(rows, size.columns)) { scratch in
            unsafe Array(unsafeUninitializedCapacity: count) { result, initialized in
                // Safe: count is above 0, so there is a base address.
                unsafe alb_upsample_f32(
                    threadCount, map, rows, columns, result.baseAddress!, size.rows, size.columns, scratch)
                initialized = count
            }
        }
    }

    /// Scores of boxes on a map: the sum inside over the square root of the area; see `alb_box_scores_f32`.
    ///
    /// - Parameter boxes: x, y, width and height of one box after the other, in pixels of the map.
    public func boxScores(_ map: [Float], rows: Int, columns: Int, boxes: [Double]) -> [Float] {
        precondition(map.count == rows * columns && boxes.count % 4 == 0)
        let count = boxes.count / 4
        var scores = [Float](repeating: 0, count: count)
        if count > 0 { unsafe alb_box_scores_f32(threadCount, map, rows, columns, boxes, count, &scores) }
        return scores
    }

    /// Bounds of the largest 4-connected region of values that are at least half of the maximum.
    ///
    /// - Parameter map: Fewer than 2^31 values.
    /// - Returns: x, y, width and height, or nil where no value is above 0.
    public func largestRegion(_ map: [Float], rows: Int, columns: Int) -> (x: Int, y: Int, width: Int, height: Int)? {
        precondition(map.count == rows * columns && map.count < Int(Int32.max))
        var labels = [Int32](repeating: 0, count: map.count)
        var box = [0, 0, 0, 0]
        return unsafe box.withUnsafeMutableBytes { bytes in
            // Safe: four words of the size that the kernel writes.
            let words = unsafe bytes.baseAddress!.assumingMemoryBound(to: Int.self)
            guard unsafe alb_heatmap_region(map, rows, columns, &labels, words) else { return nil }
            return unsafe (words[0], words[1], words[2], words[3])
        }
    }

    /// Scales a map to [0, 1]; a constant map becomes 0.
    public func rescale(_ map: inout [Float]) { unsafe alb_rescale_f32(&map, map.count) }

    /// Gaussian blur, cut at 4 sigma, edges mirrored.
    ///
    /// - Parameter sigma: In pixels, above 0 and at most 64.
    public func blur(_ map: inout [Float], rows: Int, columns: Int, sigma: Float) {
        precondition(rows > 0 && columns > 0 && map.count == rows * columns && sigma > 0 && sigma <= 64)
        unsafe withFloatScratch(alb_blur_f32_scratch(rows, columns, sigma)) { scratch in
            unsafe alb_blur_f32(threadCount, &map, rows, columns, sigma, scratch)
        }
    }

    /// Draws a map over a picture: `(1 - m^0.7) * picture + m^0.7 * jet(m)`.
    ///
    /// - Parameters:
    ///   - map: One value in [0, 1] a pixel.
    ///   - pixels: RGB, three bytes a pixel.
    public func overlay(_ map: [Float], on pixels: [UInt8]) -> [UInt8] {
        precondition(pixels.count == map.count * 3)
        return unsafe Array(unsafeUninitializedCapacity: pixels.count) { result, initialized in
            if let start = result.baseAddress {
                unsafe alb_overlay_rgb(threadCount, map, pixels, map.count, start)
            }
            initialized = pixels.count
        }
    }

    private func withFloatScratch<Result>(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Result) -> Result {
        let bytes = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, count) * MemoryLayout<Float>.stride, alignment: 64)
        defer { unsafe bytes.deallocate() }
        return unsafe body(bytes.bindMemory(to: Float.self, capacity: max(1, count)))
    }
}
