import AlbefKernels

/// Longest side of the map that is blurred. Larger pictures get it enlarged afterwards: the blur is far wider than
/// what that loses, and its cost stays that of a small picture.
private let longestBlurredSide = 512

/// Draws a heatmap over a picture with the jet colour map, and a box where one is given.
///
/// The map is scaled to [0, 1], resized to the picture, blurred with a sigma of 2 % of the longer side, scaled again,
/// and laid over with opacity `m^0.7`.
///
/// - Parameter box: x, y, width and height in pixels of the picture: a white outline with a black edge.
/// - Returns: A picture of the same size.
/// - Source: ALBEF `visualization.ipynb`, `getAttMap`.
public func renderOverlay(_ picture: Picture, heatmap: Heatmap, box: [Float]? = nil, kernels: Kernels) -> Picture {
    let longest = max(picture.width, picture.height)
    let blurredLongest = min(longest, longestBlurredSide)
    let rows = max(1, picture.height * blurredLongest / longest)
    let columns = max(1, picture.width * blurredLongest / longest)

    var values = heatmap.values
    kernels.rescale(&values)
    var map = kernels.upsample(values, rows: heatmap.rows, columns: heatmap.columns, to: (rows, columns))
    kernels.blur(&map, rows: rows, columns: columns, sigma: 0.02 * Float(blurredLongest))
    kernels.rescale(&map)
    if blurredLongest < longest {
        map = kernels.upsample(map, rows: rows, columns: columns, to: (picture.height, picture.width))
    }
    var pixels = kernels.overlay(map, on: picture.pixels)
    if let box { drawOutline(box, on: &pixels, width: picture.width, height: picture.height) }
    return Picture(width: picture.width, height: picture.height, pixels: pixels)
}

/// Draws a box as a white line between two thin black ones, cut at the picture's edges. Values that are not finite
/// draw nothing.
private func drawOutline(_ box: [Float], on pixels: inout [UInt8], width: Int, height: Int) {
    guard box.count >= 4, box.prefix(4).allSatisfy(\.isFinite), box[2] > 0, box[3] > 0 else { return }
    let left = pixel(box[0], width)
    let top = pixel(box[1], height)
    let right = pixel(box[0] + box[2], width)
    let bottom = pixel(box[1] + box[3], height)
    let line = max(1, max(width, height) / 400)
    // Rings from the outside in: black, white, black.
    let rings: [(range: Range<Int>, value: UInt8)] = [
        (0..<line, 0), (line..<(3 * line), 255), ((3 * line)..<(4 * line), 0),
    ]
    for (range, value) in rings {
        for inset in range {
            let (l, t, r, b) = (left + inset, top + inset, right - inset, bottom - inset)
            guard l < r, t < b else { return }
            fill(&pixels, width: width, columns: l..<r, rows: t..<(t + 1), value)
            fill(&pixels, width: width, columns: l..<r, rows: (b - 1)..<b, value)
            fill(&pixels, width: width, columns: l..<(l + 1), rows: t..<b, value)
            fill(&pixels, width: width, columns: (r - 1)..<r, rows: t..<b, value)
        }
    }
}

/// A coordinate as a pixel edge inside of the picture.
private func pixel(_ value: Float, _ limit: Int) -> Int {
    Int(min(max(value.rounded(), 0), Float(limit)))
}

private func fill(_ pixels: inout [UInt8], width: Int, columns: Range<Int>, rows: Range<Int>, _ value: UInt8) {
    for row in rows {
        for index in (row * width + columns.lowerBound) * 3..<(row * width + columns.upperBound) * 3 {
            pixels[index] = value
        }
    }
}
