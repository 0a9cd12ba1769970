import AlbefImage
import AlbefKernels
import AlbefLayers
import AlbefTensor

/// Answers questions about pictures and texts with one model, one caller at a time.
///
/// A session owns one arena that holds every activation. Its size is planned when the session is made, by running the very
/// code of every task that the model can do on an arena without memory; after that an inference takes no memory from the
/// system for tensors. The plan covers texts of ``textLimit`` tokens. A longer text grows the arena once, to the next power
/// of two (at most the position table); pages that are planned but never written cost no memory.
///
/// Many sessions may share one ``Model``. Results are plain values; they do not depend on the instruction set, the threads,
/// other inputs of the same call or earlier calls.
public final class Session {
    /// Whose weights are used.
    public let model: Model
    /// Instruction set and threads.
    public let kernels: Kernels
    /// Tokens of the longest text that the arena is planned for.
    public private(set) var textLimit: Int
    private var arena: Arena
    /// Told where passes compute; nil in ordinary use.
    public var computationObserver: (any ComputationObserver)?
    private var observer: (any TensorObserver)?
    private var inputObserver: (any LinearInputObserver)?

    /// - Parameter textLimit: Tokens to plan for; at most the position table is used.
    /// - Throws: ``AlbefError/tooMuchMemory(path:bytes:limit:)`` for a model whose activations exceed ``memoryLimit``.
    public init(model: Model, kernels: Kernels, textLimit: Int = 64) throws(AlbefError) {
        self.model = model
        self.kernels = kernels
        let limit = max(1, min(textLimit, model.configuration.maxPositions))
        self.textLimit = limit
        arena = Arena(capacity: try Session.plan(model, kernels, textLimit: limit))
    }

    /// Bytes of the arena.
    public var plannedBytes: Int { arena.capacity }
    /// The most bytes of the arena that were in use at one time so far.
    public var peakBytes: Int { arena.peak }

    /// Runs one pass from an empty arena that has room for texts of `tokens`, with the threads standing by.
    func pass<Result>(
        tokens: Int = 0, _ body: (ForwardPass) throws(AlbefError) -> Result
    ) throws(AlbefError) -> Result {
        try grow(to: tokens)
        let pass = ForwardPass(
            model: model, work: Workspace(kernels: kernels, arena: arena, observer: observer, inputObserver: inputObserver),
            textLimit: textLimit, computationObserver: computationObserver)
        let start = arena.mark()
        defer { arena.release(to: start) }
        return try kernels.withTeam { () throws(AlbefError) in try body(pass) }
    }

    /// Runs `body` while `observer` sees the tensors of every pass.
    func observed<Result>(
        by observer: any TensorObserver, _ body: () throws(AlbefError) -> Result
    ) throws(AlbefError) -> Result {
        self.observer = observer
        defer { self.observer = nil }
        return try body()
    }

    /// Runs `body` while `observer` sees what the linear layers of every pass read.
    func observed<Result>(
        inputsBy observer: any LinearInputObserver, _ body: () throws(AlbefError) -> Result
    ) throws(AlbefError) -> Result {
        inputObserver = observer
        defer { inputObserver = nil }
        return try body()
    }

    /// Replaces the arena by a larger one where a text is longer than planned.
    private func grow(to tokens: Int) throws(AlbefError) {
        if tokens <= textLimit { return }
        var limit = textLimit
        while limit < tokens { limit *= 2 }
        limit = max(tokens, min(limit, model.configuration.maxPositions))
        let capacity = try Session.plan(model, kernels, textLimit: limit)
        arena = Arena(capacity: 0)
        arena = Arena(capacity: capacity)
        textLimit = limit
    }
}

/// Told when a pass begins to compute, its input tensors being complete, and when its output tensors are. Between the two no
/// thread asks the system for memory, once a session has run a task with inputs of the same shape.
public protocol ComputationObserver: AnyObject {
    func computationBegins()
    func computationEnds()
}

/// A model together with the place where one pass computes: the tasks are written on it, for planning and for real.
struct ForwardPass {
    let model: Model
    let work: Workspace
    /// Tokens of the longest text.
    let textLimit: Int
    var computationObserver: (any ComputationObserver)?

    var arena: Arena { work.arena }

    /// Rows of text that are computed together at most: enough to use the processor well, few enough to stay small.
    var rowLimit: Int { max(256, textLimit) }

    /// Whether every fused token is computed where the answer needs only the first: somebody looks at the tensors.
    var showsAllTokens: Bool { work.observer != nil || work.inputObserver != nil }

    /// Runs the part of a pass between its input tensors and its output tensors: see ``ComputationObserver``.
    func computing<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        guard let computationObserver, !arena.isPlanning else { return try body() }
        computationObserver.computationBegins()
        defer { computationObserver.computationEnds() }
        return try body()
    }

    /// Refuses a tensor that holds an infinity or a NaN.
    func checkFinite(_ tensor: TensorView, _ stage: String) throws(AlbefError) {
        guard work.kernels.allFinite(tensor, in: arena) else { throw .nonFinite(stage: stage) }
    }

    /// Takes room for a row of results a text. It is that of as many texts as can be computed together, so that the plan holds
    /// for every number of them.
    func reserveResults(_ texts: Int, _ columns: Int) -> TensorView {
        work.reserve(Shape(rowLimit, columns)).rows(0..<texts)
    }

    /// Writes an array into a new tensor.
    func place<Element: ArenaElement>(_ values: [Element], _ shape: Shape) -> TensorView {
        let view = arena.reserve(shape, Element.elementType)
        arena.write(values.span, to: view)
        return view
    }
}
