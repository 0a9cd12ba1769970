import AlbefKernels
import AlbefTensor
import CAlbefKernels
import Foundation
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)

/// Some queries and the rows that they see.
private struct Group {
    let queries: Range<Int>
    let keys: [Int]
    let offset: Int
}

extension AttentionCase {
    /// All groups in one call.
    ///
    /// - Parameter listed: Whether the keys are listed row by row; otherwise they are neighbours.
    fileprivate func float(_ setting: Setting, _ groups: [Group], listed: Bool, causal: Bool) -> Guarded<Float> {
        let dst = Guarded<Float>(queries * columns, placement)
        dst.fill(byte: 0xa5)
        let longest = groups.map(\.keys.count).max() ?? 1
        let bytes = alb_attention_f32_groups_scratch_bytes(setting.threads, longest, width)
        let scratch = AttentionCase.aligned((bytes + 63) / 64 * 64, as: UInt8.self)
        var place = 0
        let code = Guarded(
            groups.map { group in
                defer { place += group.keys.count }
                return alb_attention_f32_group(
                    query: Int32(group.queries.lowerBound), queries: Int32(group.queries.count),
                    key: Int32(listed ? place : group.keys[0]), keys: Int32(group.keys.count),
                    query_offset: Int32(group.offset))
            }, .atEnd)
        let rows = Guarded(groups.flatMap { $0.keys.map { Int32($0) } }, .atEnd)
        var args = alb_attention_f32_groups_args(
            heads: heads, width: width, q: q.start, q_row: stride, k: k.start, k_row: stride, v: v.start, v_row: stride,
            causal: causal, groups: groups.count, group: code.start, rows: listed ? UnsafePointer(rows.start) : nil,
            longest: longest, dst: dst.start, dst_row: columns, scratch: scratch.start)
        alb_attention_f32_groups(setting.isa, setting.threads, &args)
        return dst
    }

    /// A call for each group, by the scalar kernel, on copies of its keys and values.
    fileprivate func separately(_ groups: [Group], causal: Bool) -> Guarded<Float> {
        let dst = Guarded<Float>(queries * columns, placement)
        dst.fill(byte: 0xa5)
        for group in groups where !group.queries.isEmpty {
            func gather(_ rows: Guarded<Float>) -> Guarded<Float> {
                Guarded(group.keys.flatMap { row in (0..<columns).map { rows.start[row * stride + $0] } }, .atEnd)
            }
            let keys = gather(k), values = gather(v)
            let bytes = alb_attention_f32_scratch_bytes(1, heads, group.keys.count, width)
            let scratch = AttentionCase.aligned((bytes + 63) / 64 * 64, as: UInt8.self)
            var args = alb_attention_f32_args(
                heads: heads, queries: group.queries.count, keys: group.keys.count, width: width,
                q: q.start + group.queries.lowerBound * stride, q_row: stride, k: keys.start, k_row: columns,
                v: values.start, v_row: columns, causal: causal, query_offset: group.offset, probabilities: nil,
                dst: dst.start + group.queries.lowerBound * columns, dst_row: columns, scratch: scratch.start)
            alb_attention_f32(reference.isa, 1, &args)
        }
        return dst
    }
}

@Suite("Float attention of many groups")
struct AttentionGroupsTests {
    /// Queries are few enough for some groups to have none; the last rows are in no group.
    private func randomGroups(_ count: Int, queries: Int, keys: Int, listed: Bool, _ random: inout TestRandom) -> [Group] {
        var first = 0
        return (0..<count).map { _ in
            let own = min(queries - 1 - first, Int.random(in: 0...5, using: &random))
            defer { first += own }
            let length = Int.random(in: 1...keys, using: &random), start = Int.random(in: 0...keys - length, using: &random)
            return Group(
                queries: first..<first + own,
                keys: (0..<length).map { listed ? Int.random(in: 0..<keys, using: &random) : start + $0 },
                offset: Int.random(in: 0...3, using: &random))
        }
    }

    @Test(
        "groups have the scalar bytes of calls of their own, with every variant and thread count",
        arguments: [1, 4, 7, 32, 64], [1, 4, 16, 33])
    func separately(width: Int, keys: Int) {
        var random = TestRandom("attention groups \(width) \(keys)")
        for (index, count) in [1, 2, 9].enumerated() {
            for listed in [false, true] {
                for causal in [false, true] {
                    let attention = AttentionCase(
                        queries: 3 * count + 2, keys: keys, heads: [1, 3, 12][index], width: width,
                        placement: causal ? .atStart : .atEnd, random: &random)
                    let groups = randomGroups(
                        count, queries: attention.queries, keys: keys, listed: listed, &random)
                    let expected = attention.separately(groups, causal: causal)
                    for setting in Setting.all {
                        let found = attention.float(setting, groups, listed: listed, causal: causal)
                        #expect(
                            found.firstDifference(from: expected) == nil,
                            "\(groups) of \(attention), \(setting), seed \(random.seed)")
                    }
                }
            }
        }
    }

    @Test("groups that are longer than a block of queries are divided among threads", arguments: Setting.all)
    func longGroups(setting: Setting) {
        var random = TestRandom("long attention groups")
        let attention = AttentionCase(queries: 120, keys: 90, heads: 2, width: 20, random: &random)
        let groups = [
            Group(queries: 0..<77, keys: Array(3..<80), offset: 0), Group(queries: 77..<79, keys: [5], offset: 0),
            Group(queries: 79..<120, keys: Array(0..<90), offset: 49),
        ]
        for causal in [false, true] {
            let found = attention.float(setting, groups, listed: false, causal: causal)
            #expect(found.firstDifference(from: attention.separately(groups, causal: causal)) == nil)
        }
    }

    @Test("no groups, and groups without queries, write nothing", arguments: Setting.all)
    func nothing(setting: Setting) {
        var random = TestRandom("no attention groups")
        let attention = AttentionCase(queries: 3, keys: 4, heads: 2, width: 8, random: &random)
        for groups in [[], [Group(queries: 1..<1, keys: [0], offset: 0)]] {
            let found = attention.float(setting, groups, listed: false, causal: false)
            #expect(found.firstDifference(from: attention.separately([], causal: false)) == nil)
        }
    }

    /// Texts of 4, 1 and 6 rows, then a tree of branches behind one row.
    private func pass(_ kernels: Kernels, grouped: Bool, in arena: Arena) -> [[Float]] {
        let columns = 3 * 8
        let tensors = (0..<3).map { index in
            let view = arena.reserve(Shape(11, columns))
            arena.write(Array(randomFloats[1000 * index..<1000 * index + 11 * columns]).span, to: view)
            return view
        }
        let (q, k, v) = (tensors[0], tensors[1], tensors[2])
        let texts = [0..<4, 4..<5, 5..<11], y = arena.reserve(q.shape), z = arena.reserve(Shape(6, columns))
        let branches: [(queries: Range<Int>, keys: [Int])] = [(0..<2, [0, 1, 2]), (2..<3, [0, 1, 3]), (3..<6, [0, 4, 5, 6])]
        if grouped {
            var groups = AttentionGroups(capacity: 3, in: arena)
            for text in texts { groups.append(queries: text, keys: text) }
            #expect(groups.count == 3 && groups.keys(of: 1) == [4])
            kernels.attention(q, k, v, groups: groups, heads: 3, to: y, in: arena)
            groups = AttentionGroups(capacity: 3, keyRows: 10, in: arena)
            for branch in branches {
                for row in branch.keys { groups.list(key: row) }
                groups.append(queries: branch.queries, queryOffset: branch.keys.count - branch.queries.count)
            }
            #expect(branches.indices.allSatisfy { groups.keys(of: $0) == branches[$0].keys })
            kernels.attention(q.rows(0..<6), k, v, groups: groups, heads: 3, causal: true, to: z, in: arena)
        } else {
            for text in texts {
                kernels.attention(q.rows(text), k.rows(text), v.rows(text), heads: 3, to: y.rows(text), in: arena)
            }
            for branch in branches {
                let keys = arena.reserve(Shape(branch.keys.count, columns)), values = arena.reserve(keys.shape)
                for (place, row) in branch.keys.enumerated() {
                    arena.copy(k.rows(row..<row + 1), to: keys.rows(place..<place + 1))
                    arena.copy(v.rows(row..<row + 1), to: values.rows(place..<place + 1))
                }
                kernels.attention(
                    q.rows(branch.queries), keys, values, heads: 3, causal: true,
                    queryOffset: branch.keys.count - branch.queries.count, to: z.rows(branch.queries), in: arena)
            }
        }
        return [arena.read(y), arena.read(z)]
    }

    @Test("texts and branches have the bytes of calls of their own, and a planning arena needs what the pass uses", arguments: testedISAs)
    func face(isa: ISA) throws {
        for threads in [1, 2, 5] {
            let kernels = try Kernels(isa: isa, threads: threads)
            let plan = Arena.planning()
            _ = pass(kernels, grouped: true, in: plan)
            let arena = Arena(capacity: plan.peak)
            let found = pass(kernels, grouped: true, in: arena)
            let expected = pass(kernels, grouped: false, in: Arena(capacity: 1 << 18))
            #expect(arena.peak == plan.peak)
            #expect(found.map { $0.map(\.bitPattern) } == expected.map { $0.map(\.bitPattern) })
        }
    }
}
