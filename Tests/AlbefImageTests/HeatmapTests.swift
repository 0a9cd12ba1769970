import AlbefImage
import AlbefKernels
import Testing

/// The same in double precision, by the definition: no separable passes, every tap on its own.
private func naiveUpsample(_ map: [Float], _ rows: Int, _ columns: Int, _ toRows: Int, _ toColumns: Int) -> [Double] {
    func kernel(_ t: Double) -> Double {
        let (a, t) = (-0.75, abs(t))
        if t <= 1 { return ((a + 2) * t - (a + 3)) * t * t + 1 }
        return t < 2 ? a * (((t - 5) * t + 8) * t - 4) : 0
    }
    var result: [Double] = []
    for y in 0..<toRows {
        for x in 0..<toColumns {
            let sy = (Double(y) + 0.5) * Double(rows) / Double(toRows) - 0.5
            let sx = (Double(x) + 0.5) * Double(columns) / Double(toColumns) - 0.5
            var sum = 0.0
            for dy in -1...2 {
                for dx in -1...2 {
                    let (ty, tx) = (Int(sy.rounded(.down)) + dy, Int(sx.rounded(.down)) + dx)
                    let value = map[min(max(ty, 0), rows - 1) * columns + min(max(tx, 0), columns - 1)]
                    sum += Double(value) * kernel(sy - Double(ty)) * kernel(sx - Double(tx))
                }
            }
            result.append(sum)
        }
    }
    return result
}

/// The largest region by flooding, the first among equals.
private func naiveRegion(_ map: [Float], _ rows: Int, _ columns: Int) -> [Int]? {
    guard let maximum = map.max(), maximum > 0 else { return nil }
    var seen = map.map { !($0 >= 0.5 * maximum) }
    var best: (size: Int, box: [Int])?
    for start in map.indices where !seen[start] {
        var stack = [start]
        var (size, left, right, top, bottom) = (0, columns, 0, rows, 0)
        seen[start] = true
        while let index = stack.popLast() {
            let (y, x) = (index / columns, index % columns)
            size += 1
            (left, right, top, bottom) = (min(left, x), max(right, x), min(top, y), max(bottom, y))
            for (dy, dx) in [(0, 1), (1, 0), (0, -1), (-1, 0)] {
                let (ny, nx) = (y + dy, x + dx)
                guard ny >= 0, nx >= 0, ny < rows, nx < columns, !seen[ny * columns + nx] else { continue }
                seen[ny * columns + nx] = true
                stack.append(ny * columns + nx)
            }
        }
        if size > (best?.size ?? 0) { best = (size, [left, top, right - left + 1, bottom - top + 1]) }
    }
    return best?.box
}

private func randomMap(_ count: Int, seed: Int) -> [Float] {
    var noise = Noise(seed: seed)
    return (0..<count).map { _ in Float(noise.below(1 << 20)) / Float(1 << 20) }
}

@Suite("Heatmaps")
struct HeatmapTests {
    @Test("upsampling has the published weights of 16 to 24")
    func publishedWeights() throws {
        let kernels = try Kernels(threads: 1)
        // A single one at input j shows its weight in every output; outputs 6, 7 and 8 have taps 2…5, 3…6 and 4…7.
        let expected: [Int: [Float]] = [
            6: [-0.01736111, 0.16087963, 0.94328704, -0.08680556], 7: [-0.09375, 0.59375, 0.59375, -0.09375],
            8: [-0.08680556, 0.94328704, 0.16087963, -0.01736111],
        ]
        for (output, weights) in expected {
            let first = [6: 2, 7: 3, 8: 4][output] ?? 0
            for (tap, weight) in weights.enumerated() {
                var map = [Float](repeating: 0, count: 16)
                map[first + tap] = 1
                let result = kernels.upsample(map, rows: 1, columns: 16, to: (1, 24))
                #expect(abs(result[output] - weight) < 1e-7)
                #expect(kernels.upsample(map, rows: 16, columns: 1, to: (24, 1)) == result)
            }
        }
    }

    @Test(
        "upsampling follows its definition and is equal for every instruction set and thread count",
        arguments: [
            [1, 1, 1, 1], [1, 1, 5, 4], [2, 3, 7, 5], [8, 8, 480, 640], [24, 24, 333, 500], [24, 24, 24, 24], [24, 24, 7, 9],
            [3, 5, 1, 1], [5, 1, 33, 17],
        ])
    func upsampling(shape: [Int]) throws {
        let (rows, columns, toRows, toColumns) = (shape[0], shape[1], shape[2], shape[3])
        let map = randomMap(rows * columns, seed: rows * 1000 + columns)
        let reference = try Kernels(isa: .scalar, threads: 1).upsample(
            map, rows: rows, columns: columns, to: (toRows, toColumns))
        let naive = naiveUpsample(map, rows, columns, toRows, toColumns)
        for (a, b) in zip(reference, naive) { #expect(abs(Double(a) - b) < 1e-6) }
        for isa in testedISAs {
            for threads in [1, 2, 3, 8] {
                let result = try Kernels(isa: isa, threads: threads).upsample(
                    map, rows: rows, columns: columns, to: (toRows, toColumns))
                #expect(result == reference)
            }
        }
    }

    @Test("a box's score is the sum inside over the root of its area, bounds truncated, area not")
    func scores() throws {
        let kernels = try Kernels(threads: 2)
        let (width, height) = (50, 30)
        let heatmap = Heatmap(rows: 6, columns: 6, values: randomMap(36, seed: 3))
        let map = heatmap.upsampled(width: width, height: height, kernels: kernels)
        let boxes = [
            [3.7, 2.2, 10.9, 8.8], [0, 0, 50, 30], [40.5, 20.5, 100, 100], [-5, -5, 10, 10], [10, 10, 0.4, 0.4], [49.9, 29.9, 3, 3],
        ]
        let scores = heatmap.scores(boxes, width: width, height: height, kernels: kernels)
        for (box, score) in zip(boxes, scores) {
            var sum = 0.0
            for y in max(0, Int(box[1]))..<max(0, min(height, Int(box[1] + box[3]))) {
                for x in max(0, Int(box[0]))..<max(0, min(width, Int(box[0] + box[2]))) { sum += Double(map[y * width + x]) }
            }
            let expected = sum / (box[2] * box[3]).squareRoot()
            #expect(abs(Double(score) - expected) <= 1e-5 * max(1, expected), "\(box)")
        }
    }

    @Test(
        "a box without area, outside of the picture or with impossible values scores 0",
        arguments: [
            [0, 0, 0, 5], [1, 1, -3, 2], [60, 0, 5, 5], [0, .nan, 5, 5], [0, 0, .infinity, 5], [1e300, 0, 1, 1], [1, 2], [],
        ] as [[Double]])
    func degenerateBoxes(box: [Double]) throws {
        let heatmap = Heatmap(rows: 1, columns: 1, values: [1])
        #expect(heatmap.scores([box], width: 50, height: 30, kernels: try Kernels(threads: 1)) == [0])
    }

    @Test("ranking puts the best first and keeps the order of equals")
    func ranking() throws {
        let heatmap = Heatmap(rows: 2, columns: 2, values: [0, 0, 0, 1])
        let boxes: [[Double]] = [[0, 0, 4, 4], [50, 50, 50, 50], [0, 0, 4, 4], [1, 2, 3], [60, 60, 20, 20, 0.9]]
        let ranked = heatmap.ranked(boxes, width: 100, height: 100, kernels: try Kernels(threads: 1))
        #expect(ranked.first?.box == [50, 50, 50, 50])
        #expect(ranked.count == 4)
        #expect(ranked.map(\.index).filter { $0 != 1 && $0 != 4 } == [0, 2])
        let blank = Heatmap(rows: 2, columns: 2, values: [0, 0, 0, 0])
        let unranked = blank.ranked(boxes, width: 100, height: 100, kernels: try Kernels(threads: 1))
        #expect(unranked.map(\.index) == [0, 1, 2, 4])
        #expect(unranked.first?.score == 0)
    }

    @Test("the largest region is that of a flood fill, the first among equals")
    func regions() throws {
        let kernels = try Kernels(threads: 1)
        for seed in 0..<200 {
            var noise = Noise(seed: seed)
            let (rows, columns) = (1 + noise.below(12), 1 + noise.below(12))
            let map = (0..<(rows * columns)).map { _ in Float(noise.below(4)) }
            let found = kernels.largestRegion(map, rows: rows, columns: columns)
            #expect(found.map { [$0.x, $0.y, $0.width, $0.height] } == naiveRegion(map, rows, columns), "seed \(seed)")
        }
    }

    @Test("a map of zeros has no box, one that is nowhere positive no region")
    func noBox() throws {
        let kernels = try Kernels(threads: 1)
        let blank = Heatmap(rows: 2, columns: 2, values: [0, 0, 0, 0])
        #expect(blank.box(width: 20, height: 10, kernels: kernels) == nil)
        #expect(kernels.largestRegion([-1, 0, -2, 0], rows: 2, columns: 2) == nil)
    }

    @Test("a bright patch is boxed where it lies")
    func brightPatch() throws {
        var values = [Float](repeating: 0, count: 64)
        for index in [18, 19, 26, 27] { values[index] = 1 }  // rows 2…3, columns 2…3 of 8
        let box = try #require(
            Heatmap(rows: 8, columns: 8, values: values).box(width: 80, height: 160, kernels: Kernels(threads: 1)))
        #expect(abs(box[0] - 20) <= 3 && abs(box[1] - 40) <= 6)
        #expect(abs(box[2] - 20) <= 6 && abs(box[3] - 40) <= 12)
    }
}

@Suite("Overlays")
struct OverlayTests {
    @Test("the coldest place keeps the picture and the hottest has jet's dark red")
    func ends() throws {
        let kernels = try Kernels(threads: 1)
        let pixels: [UInt8] = [10, 20, 30, 10, 20, 30, 10, 20, 30]
        #expect(kernels.overlay([0, -1, 1], on: pixels) == [10, 20, 30, 10, 20, 30, 128, 0, 0])
    }

    @Test("in between, colours and opacity are those of the formula")
    func formula() throws {
        let kernels = try Kernels(threads: 1)
        for step in 1..<40 {
            let m = Double(step) / 40
            let opacity = Double(sqrtChain(m))
            let jet = [jetChannel(m, 0), jetChannel(m, 1), jetChannel(m, 2)]
            let found = kernels.overlay([Float(m)], on: [200, 100, 50])
            for (channel, base) in [200.0, 100, 50].enumerated() {
                let expected = (1 - opacity) * base + opacity * 255 * jet[channel]
                #expect(abs(Double(found[channel]) - expected) <= 1.5, "m \(m), channel \(channel)")
            }
        }
    }

    /// m^0.7 without a logarithm of this program's own: the seventh power's tenth root by bisection.
    private func sqrtChain(_ m: Double) -> Double {
        let power = m * m * m * m * m * m * m
        var (low, high) = (0.0, 1.0)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            var tenth = 1.0
            for _ in 0..<10 { tenth *= middle }
            if tenth < power { low = middle } else { high = middle }
        }
        return low
    }

    private func jetChannel(_ m: Double, _ channel: Int) -> Double {
        let corners: [[(Double, Double)]] = [
            [(0, 0), (0.35, 0), (0.66, 1), (0.89, 1), (1, 0.5)],
            [(0, 0), (0.125, 0), (0.375, 1), (0.64, 1), (0.91, 0), (1, 0)],
            [(0, 0.5), (0.11, 1), (0.34, 1), (0.65, 0), (1, 0)],
        ]
        for (a, b) in zip(corners[channel], corners[channel].dropFirst()) where m <= b.0 {
            return a.1 + (m - a.0) / (b.0 - a.0) * (b.1 - a.1)
        }
        return 0
    }

    @Test("blurring keeps a constant map and spreads a point evenly")
    func blur() throws {
        let kernels = try Kernels(threads: 2)
        var constant = [Float](repeating: 0.5, count: 20 * 7)
        kernels.blur(&constant, rows: 20, columns: 7, sigma: 6)
        #expect(constant.allSatisfy { abs($0 - 0.5) < 1e-5 })
        var point = [Float](repeating: 0, count: 31 * 31)
        point[15 * 31 + 15] = 1
        kernels.blur(&point, rows: 31, columns: 31, sigma: 2)
        #expect(abs(point.reduce(0, +) - 1) < 1e-4)
        #expect(abs(point[15 * 31 + 15] - 1 / (2 * .pi * 4)) < 1e-3)
        #expect(point[15 * 31 + 11] == point[15 * 31 + 19] && point[11 * 31 + 15] == point[15 * 31 + 11])
    }

    @Test(
        "an overlay has the picture's size and equal bytes for every instruction set and thread count",
        arguments: [[1, 1], [3, 2], [64, 48], [700, 300], [5, 900]])
    func rendering(size: [Int]) throws {
        var noise = Noise(seed: 5)
        let picture = Picture(width: size[0], height: size[1], pixels: noise.bytes(size[0] * size[1] * 3))
        let heatmap = Heatmap(rows: 8, columns: 8, values: randomMap(64, seed: 9))
        let box: [Float] = [1, 1, Float(size[0]) * 0.7, Float(size[1]) * 0.7]
        let reference = renderOverlay(picture, heatmap: heatmap, box: box, kernels: try Kernels(isa: .scalar, threads: 1))
        #expect(reference.width == size[0] && reference.height == size[1])
        for isa in testedISAs {
            for threads in [1, 2, 3, 8] {
                let kernels = try Kernels(isa: isa, threads: threads)
                #expect(renderOverlay(picture, heatmap: heatmap, box: box, kernels: kernels) == reference)
            }
        }
    }

    @Test(
        "boxes that are empty, far outside or not finite do no harm",
        arguments: [
            [], [1, 2, 3], [0, 0, 0, 0], [-50, -50, 20, 20], [1e30, 0, 1e30, 5], [.nan, 0, 5, 5], [0, 0, .infinity, 5],
            [3, 3, 1, 1], [-10, -10, 500, 500],
        ] as [[Float]])
    func oddBoxes(box: [Float]) throws {
        let picture = Picture(width: 40, height: 30, pixels: [UInt8](repeating: 9, count: 3600))
        let heatmap = Heatmap(rows: 1, columns: 2, values: [0, 0])
        let drawn = renderOverlay(picture, heatmap: heatmap, box: box, kernels: try Kernels(threads: 1))
        #expect(drawn.pixels.count == 3600)
    }
}
