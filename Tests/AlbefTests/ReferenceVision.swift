import AlbefTestSupport
import Foundation

/// The image encoder of a tiny model in double precision, plainly: what gradients are compared with.
struct ReferenceVision {
    typealias Rows = [[Double]]
    private let weights: [String: Rows]
    private let tiny: TinyModel

    init(_ tiny: TinyModel) {
        self.tiny = tiny
        weights = Dictionary(
            uniqueKeysWithValues: tiny.weights.filter { $0.name.hasPrefix("vis") }.map { weight in
                let values = tiny.values(of: weight).map(Double.init)
                let columns = values.count / (weight.shape.count == 1 ? 1 : weight.shape[0])
                return (weight.name, stride(from: 0, to: values.count, by: columns).map { Array(values[$0..<$0 + columns]) })
            })
    }

    /// What is added to one probability of the class token's attention in the first block that is run.
    struct Nudge {
        let head, key: Int
        let amount: Double
    }

    /// Tokens before the first block, from normalised pixels `[3, R, R]`.
    func tokens(_ pixels: [Double]) -> Rows {
        let c = tiny.configuration, side = c.imageSize, patch = c.patchSize, grid = side / patch
        var patches: Rows = []
        for y in 0..<grid {
            for x in 0..<grid {
                patches.append(
                    (0..<3 * patch * patch).map { index in
                        let channel = index / (patch * patch), row = index / patch % patch, column = index % patch
                        return pixels[(channel * side + y * patch + row) * side + x * patch + column]
                    })
            }
        }
        let rows = [vector("visual_encoder.cls_token")] + linear("visual_encoder.patch_embed.proj", patches)
        return sum(rows, weights["visual_encoder.pos_embed"]!)
    }

    /// The output of a block, and the class token's attention in each head.
    func block(_ index: Int, _ x: Rows, nudge: Nudge? = nil) -> (output: Rows, attention: Rows) {
        let name = "visual_encoder.blocks.\(index)"
        let (context, attention) = attend(linear(name + ".attn.qkv", norm(name + ".norm1", x)), nudge)
        let middle = sum(x, linear(name + ".attn.proj", context))
        let hidden = linear(name + ".mlp.fc1", norm(name + ".norm2", middle)).map { row in
            row.map { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }
        }
        return (sum(middle, linear(name + ".mlp.fc2", hidden)), attention)
    }

    /// The unit feature, from the input of a block.
    func feature(from index: Int, _ x: Rows, nudge: Nudge? = nil) -> [Double] {
        var x = block(index, x, nudge: nudge).output
        for index in index + 1..<tiny.configuration.visionLayers { x = block(index, x).output }
        let projected = linear("vision_proj", norm("visual_encoder.norm", [x[0]]))[0]
        let length = dot(projected, projected).squareRoot()
        return projected.map { $0 / length }
    }

    private func attend(_ joint: Rows, _ nudge: Nudge?) -> (context: Rows, attention: Rows) {
        let c = tiny.configuration, width = c.visionWidth, size = width / c.visionHeads
        var context = Rows(repeating: [], count: joint.count), attention: Rows = []
        for head in 0..<c.visionHeads {
            func part(_ row: Int, _ kind: Int) -> [Double] {
                let start = kind * width + head * size
                return Array(joint[row][start..<start + size])
            }
            let keys = joint.indices.map { part($0, 1) }, values = joint.indices.map { part($0, 2) }
            for query in joint.indices {
                let scores = keys.map { exp(dot(part(query, 0), $0) / Double(size).squareRoot()) }
                let total = scores.reduce(0, +)
                var p = scores.map { $0 / total }
                if query == 0 {
                    attention.append(p)
                    if let nudge, nudge.head == head { p[nudge.key] += nudge.amount }
                }
                context[query] += (0..<size).map { column in dot(p, values.map { $0[column] }) }
            }
        }
        return (context, attention)
    }

    private func vector(_ name: String) -> [Double] { weights[name]![0] }

    private func linear(_ name: String, _ x: Rows) -> Rows {
        let weight = weights[name + ".weight"]!, bias = vector(name + ".bias")
        return x.map { row in weight.indices.map { bias[$0] + dot(row, weight[$0]) } }
    }

    private func norm(_ name: String, _ x: Rows) -> Rows {
        let weight = vector(name + ".weight"), bias = vector(name + ".bias")
        return x.map { row in
            let mean = row.reduce(0, +) / Double(row.count)
            let centred = row.map { $0 - mean }
            let deviation = (dot(centred, centred) / Double(row.count) + 1e-6).squareRoot()
            return row.indices.map { centred[$0] / deviation * weight[$0] + bias[$0] }
        }
    }

    private func sum(_ a: Rows, _ b: Rows) -> Rows { zip(a, b).map { zip($0, $1).map { $0 + $1 } } }
}

func dot(_ a: [Double], _ b: [Double]) -> Double {
    precondition(a.count == b.count)
    var result = 0.0, index = 0
    while index < a.count {
        result += a[index] * b[index]
        index += 1
    }
    return result
}
