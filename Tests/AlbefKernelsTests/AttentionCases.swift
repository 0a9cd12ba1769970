import CAlbefKernels
import Foundation

/// Sizes that meet every tail of attention's tiles.
enum AttentionShapes {
    static let queries = [1, 2, 3, 7, 30]
    static let keys = [1, 2, 5, 16, 17, 65, 577]
    static let heads = [1, 2, 4, 12]
    static let widths = [1, 4, 8, 32, 33, 64]
}

/// Queries, keys and values between guard pages, with rows further apart than they are long.
final class AttentionCase: CustomStringConvertible {
    let queries, keys, heads, width, stride: Int
    let q, k, v: Guarded<Float>
    let placement: Guarded<Float>.Placement
    var columns: Int { heads * width }
    var description: String { "T \(queries), S \(keys), H \(heads), d \(width)" }

    init(
        queries: Int, keys: Int, heads: Int, width: Int, placement: Guarded<Float>.Placement = .atEnd,
        random: inout TestRandom
    ) {
        (self.queries, self.keys, self.heads, self.width) = (queries, keys, heads, width)
        self.placement = placement
        stride = heads * width + (queries + keys) % 3
        q = Guarded(random: &random, (queries - 1) * stride + heads * width, placement)
        k = Guarded(random: &random, (keys - 1) * stride + heads * width, placement)
        v = Guarded(random: &random, (keys - 1) * stride + heads * width, placement)
    }

    func q(_ t: Int, _ head: Int, _ c: Int) -> Double { Double(q.start[t * stride + head * width + c]) }
    func k(_ j: Int, _ head: Int, _ c: Int) -> Double { Double(k.start[j * stride + head * width + c]) }
    func v(_ j: Int, _ head: Int, _ c: Int) -> Double { Double(v.start[j * stride + head * width + c]) }

    /// Memory of exactly `count` bytes at a page's end, aligned to 64.
    static func aligned<Element>(_ count: Int, as type: Element.Type = Element.self) -> Guarded<Element> {
        let bytes = count * MemoryLayout<Element>.stride
        precondition(bytes % 64 == 0)
        let block = Guarded<Element>(count, .atEnd)
        block.fill(byte: 0xa5)
        return block
    }

    // MARK: Float

    /// Runs some of the queries against the first of the keys.
    func float(
        _ setting: Setting, queries range: Range<Int>? = nil, keys count: Int? = nil, causal: Bool = false, offset: Int = 0,
        probabilities: Guarded<Float>? = nil
    ) -> Guarded<Float> {
        let range = range ?? 0..<queries, count = count ?? keys
        let dst = Guarded<Float>(range.count * columns, placement)
        dst.fill(byte: 0xa5)
        let bytes = alb_attention_f32_scratch_bytes(setting.threads, heads, count, width)
        let scratch = AttentionCase.aligned((bytes + 63) / 64 * 64, as: UInt8.self)
        var args = alb_attention_f32_args(
            heads: heads, queries: range.count, keys: count, width: width, q: q.start + range.lowerBound * stride,
            q_row: stride, k: k.start, k_row: stride, v: v.start, v_row: stride, causal: causal, query_offset: offset,
            probabilities: probabilities?.start, dst: dst.start, dst_row: columns, scratch: scratch.start)
        alb_attention_f32(setting.isa, setting.threads, &args)
        return dst
    }

    /// Double precision: the result, and the bound on a float's distance from it.
    ///
    /// With u = 2^-24, a score is off by at most δ = (d + 2) u √(1/d) max_j Σ|q k|, which moves a probability by a factor
    /// within exp(±2δ); exp adds 2 ulp, R16 (n/16 + 5) u, the division and the n steps of the last sum (n + 1) u.
    func doubles(_ t: Int, _ head: Int, visible n: Int) -> (p: [Double], y: [Double], bounds: [Double]) {
        let u = 0x1p-24, scale = 1 / Double(width).squareRoot()
        var scores: [Double] = [], size = 0.0
        for j in 0..<n {
            var sum = 0.0, absolute = 0.0
            for c in 0..<width {
                let product = q(t, head, c) * k(j, head, c)
                sum += product
                absolute += abs(product)
            }
            scores.append(sum * scale)
            size = max(size, absolute * scale)
        }
        let p = softmax(scores)
        let factor = exp(2 * (Double(width) + 2) * u * size) - 1 + (8 + Double(n) / 16 + 5 + Double(n) + 1) * u
        var y: [Double] = [], bounds: [Double] = []
        for c in 0..<width {
            y.append((0..<n).reduce(0) { $0 + p[$1] * v($1, head, c) })
            bounds.append((0..<n).reduce(0) { $0 + p[$1] * abs(v($1, head, c)) } * factor * 1.01 + 1e-37)
        }
        return (p, y, bounds)
    }

    // MARK: Int8

    func quantized(_ setting: Setting) -> QuantizedCase {
        let result = QuantizedCase(heads: heads, tokens: keys, width: width)
        var kv = result.code
        alb_attention_s8_quantize(setting.isa, setting.threads, k.start, stride, v.start, stride, &kv)
        return result
    }

    func int8(_ setting: Setting, _ kv: QuantizedCase, queries range: Range<Int>? = nil, scale: Float? = nil)
        -> Guarded<Float>
    {
        let range = range ?? 0..<queries
        let dst = Guarded<Float>(range.count * columns, placement)
        dst.fill(byte: 0xa5)
        let bytes = alb_attention_s8_scratch_bytes(setting.threads, keys, width)
        let scratch = AttentionCase.aligned((bytes + 63) / 64 * 64, as: UInt8.self)
        var code = kv.code
        alb_attention_s8(
            setting.isa, setting.threads, range.count, q.start + range.lowerBound * stride, stride, &code,
            scale ?? alb_attention_scale(width), dst.start, columns, scratch.start)
        return dst
    }
}

/// Quantised keys and values between guard pages.
final class QuantizedCase {
    let heads, tokens, width, lanes, channels: Int
    let keys, values: Guarded<Int8>
    let keyScales, valueScales: Guarded<Float>
    let keySums: Guarded<Int32>

    init(heads: Int, tokens: Int, width: Int) {
        (self.heads, self.tokens, self.width) = (heads, tokens, width)
        lanes = paddedChannels(tokens)
        channels = paddedChannels(width)
        keys = AttentionCase.aligned(heads * lanes * paddedDepth(width))
        keyScales = AttentionCase.aligned(heads * lanes)
        keySums = AttentionCase.aligned(heads * lanes)
        values = AttentionCase.aligned(heads * channels * paddedDepth(tokens))
        valueScales = AttentionCase.aligned(heads * channels)
    }

    var code: alb_keys_values_s8 {
        alb_keys_values_s8(
            heads: heads, tokens: tokens, width: width, keys: keys.start, key_scales: keyScales.start,
            key_sums: keySums.start, values: values.start, value_scales: valueScales.start)
    }

    /// Where byte `step` of `lane` lies among lanes of `steps` bytes.
    private func position(_ lane: Int, _ step: Int, _ steps: Int) -> Int {
        ((lane / 16 * (paddedDepth(steps) / 4) + step / 4) * 16 + lane % 16) * 4 + step % 4
    }

    /// Any position up to the padded sizes.
    func key(_ head: Int, _ token: Int, _ c: Int) -> Int {
        Int(keys.start[head * lanes * paddedDepth(width) + position(token, c, width)])
    }
    func value(_ head: Int, _ token: Int, _ c: Int) -> Int {
        Int(values.start[head * channels * paddedDepth(tokens) + position(c, token, tokens)])
    }

    func isEqual(to other: QuantizedCase) -> Bool {
        keys.firstDifference(from: other.keys) == nil && keyScales.firstDifference(from: other.keyScales) == nil
            && keySums.firstDifference(from: other.keySums) == nil && values.firstDifference(from: other.values) == nil
            && valueScales.firstDifference(from: other.valueScales) == nil
    }
}

/// Softmax in double precision.
func softmax(_ x: [Double]) -> [Double] {
    let maximum = x.max() ?? 0
    let e = x.map { exp($0 - maximum) }
    let total = e.reduce(0, +)
    return e.map { $0 / total }
}
