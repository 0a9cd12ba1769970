import AlbefKernels
import AlbefTensor

/// Where a forward pass computes: the kernels it calls and the arena that holds its tensors.
///
/// With a planning arena the same pass computes nothing and measures the memory it needs.
public struct Workspace {
    /// Instruction set and threads.
    public let kernels: Kernels
    /// The memory of every tensor of the pass.
    public let arena: Arena
    /// Who wants to see tensors as they are made; nil in ordinary use.
    public let observer: (any TensorObserver)?
    /// Who wants to see what linear layers read; nil in ordinary use.
    public let inputObserver: (any LinearInputObserver)?

    /// - Parameters:
    ///   - observer: Sees tensors but cannot change what is computed.
    ///   - inputObserver: Likewise.
    public init(
        kernels: Kernels, arena: Arena, observer: (any TensorObserver)? = nil,
        inputObserver: (any LinearInputObserver)? = nil
    ) {
        self.kernels = kernels
        self.arena = arena
        self.observer = observer
        self.inputObserver = inputObserver
    }

    /// Takes room for a dense float tensor; its contents are undefined until a kernel writes them.
    public func reserve(_ shape: Shape) -> TensorView { arena.reserve(shape, .float32) }

    /// Shows a finished tensor to the observer. The name is made only where somebody observes.
    public func observe(_ name: @autoclosure () -> String, _ tensor: TensorView) {
        guard let observer, !arena.isPlanning else { return }
        observer.observe(name(), tensor, in: arena)
    }
}

/// Sees the tensors of a forward pass as they are made.
public protocol TensorObserver: AnyObject {
    /// Called when `tensor` is complete; the view is valid only during the call.
    func observe(_ name: String, _ tensor: TensorView, in arena: Arena)
}

/// Sees the rows that linear layers read, before they are multiplied.
public protocol LinearInputObserver: AnyObject {
    /// Called with `[rows, inputs]` of the layer of this name; the view is valid only during the call.
    func observe(inputOf layer: String, _ x: TensorView, in arena: Arena)
}

extension Workspace {
    /// Shows a linear layer's input to the observer of inputs.
    func observe(inputOf layer: String, _ x: TensorView) {
        guard let inputObserver, !arena.isPlanning else { return }
        inputObserver.observe(inputOf: layer, x, in: arena)
    }
}
