import Albef
import AlbefTestSupport

/// A question to a session, with inputs that are ready.
struct Task {
    let name: String
    let run: (Session) throws -> Void

    /// Every task that a model can do.
    static func all(_ session: Session) throws -> [Task] {
        let model = session.model
        let size = model.configuration.imageSize
        var numbers = RandomNumbers(seed: 3)
        func picture() throws -> PreparedImage {
            try PreparedImage(
                pixels: (0..<3 * size * size).map { _ in UInt8(truncatingIfNeeded: numbers.bits()) }, for: model)
        }
        let prepared = [try picture(), try picture()]
        let captions = try ["a red dog", "two cats on the left of a big tree", "blue"].map {
            try model.prepare($0, for: .retrieval)
        }
        let images = try prepared.map { try session.encode($0) }
        let texts = try session.encode(captions)
        var tasks = [
            Task(name: "image") { _ = try $0.encode(prepared[0]) },
            Task(name: "text") { _ = try $0.encode(captions[0]) },
            Task(name: "texts") { _ = try $0.encode(captions) },
        ]
        if model.heads.contains(.contrastive) {
            tasks.append(Task(name: "ground by feature") { _ = try $0.groundByFeature(prepared[0], texts[0]) })
            let features = images.compactMap(\.feature), feature = texts[0].feature ?? []
            tasks.append(Task(name: "similarities") { _ = try $0.similarities(feature, features) })
        }
        if model.heads.contains(.matching) {
            tasks.append(Task(name: "match") { _ = try $0.match(images[0], texts[0]) })
            tasks.append(Task(name: "match texts") { _ = try $0.match(images[0], texts) })
            tasks.append(Task(name: "ground") { _ = try $0.ground(images[0], texts[0]) })
        }
        if model.heads.contains(.maskedLanguage) {
            let masked = try session.encode(model.prepare("a [MASK] dog on the [MASK]", for: .masked))
            tasks.append(Task(name: "fill-mask") { _ = try $0.fillMasks(images[0], masked, top: 3) })
        }
        if model.heads.contains(.answering) {
            let question = try session.encode(model.prepare("what color is the dog?", for: .question))
            let answers = try model.answerList()
            tasks.append(Task(name: "vqa") { _ = try $0.answer(images[0], question, answers) })
            tasks.append(Task(name: "ground answer") { _ = try $0.groundAnswer(images[0], question, answer: "red dog") })
        }
        if model.heads.contains(.entailment) {
            tasks.append(Task(name: "entail") { _ = try $0.entail(images[0], texts) })
        }
        if model.heads.contains(.reasoning) {
            tasks.append(Task(name: "reason") { _ = try $0.reason(images[0], images[1], texts) })
        }
        return tasks
    }
}
