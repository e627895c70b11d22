// In which order do pods come and go in a rolling update? As the real controllers did it, with maxSurge 1 and
// maxUnavailable 0: the next pod is there before the last one is gone.

/// A rolling update as a list of states, which the caller applies at its own pace.
public struct FakeRollout: Sendable {
    /// What happens in a step.
    public enum Happening: Sendable, Hashable {
        /// A new pod has an address and is not ready.
        case started(FakePod)
        /// It is ready.
        case ready(FakePod)
        /// An old pod was told to stop; it still serves.
        case terminating(FakePod)
        /// It serves no longer.
        case stopped(FakePod)
        /// It is gone.
        case gone(FakePod)

        /// The pod.
        public var pod: FakePod {
            switch self {
            case .started(let pod), .ready(let pod), .terminating(let pod), .stopped(let pod), .gone(let pod): pod
            }
        }
    }

    /// One step.
    public struct Step: Sendable {
        /// What happens.
        public var happening: Happening
        /// The pods afterwards, conditions included.
        public var pods: [FakePod]
    }

    /// The steps, in the recorded order.
    public let steps: [Step]

    /// Replaces `old`, in order, by `new`. Both must have the same number of pods.
    public init(from old: [FakePod], to new: [FakePod]) {
        precondition(old.count == new.count, "a rolling update replaces each pod by another")
        var pods = old
        var steps: [Step] = []
        func set(_ pod: FakePod) {
            if let index = pods.firstIndex(where: { $0.uid == pod.uid }) { pods[index] = pod } else { pods.append(pod) }
        }
        func end(_ pod: FakePod) {
            let stopped = pod.with(ready: false, serving: false, terminating: true)
            set(stopped)
            steps.append(Step(happening: .stopped(stopped), pods: pods))
            pods.removeAll { $0.uid == pod.uid }
            steps.append(Step(happening: .gone(stopped), pods: pods))
        }
        for (index, pod) in new.enumerated() {
            let started = pod.with(ready: false, serving: false, terminating: false)
            set(started)
            steps.append(Step(happening: .started(started), pods: pods))
            let ready = pod.with(ready: true, serving: true, terminating: false)
            set(ready)
            steps.append(Step(happening: .ready(ready), pods: pods))
            let leaving = old[index].with(ready: false, serving: true, terminating: true)
            set(leaving)
            steps.append(Step(happening: .terminating(leaving), pods: pods))
            if index > 0 { end(old[index - 1]) }
        }
        if let last = old.last { end(last) }
        self.steps = steps
    }
}

extension FakeCluster {
    /// Runs a rolling update of a Service to `pods`; `before` is called ahead of each step, and may wait.
    public func rollOut(
        _ namespace: String, _ service: String, to pods: [FakePod], before: (FakeRollout.Step) -> Void = { _ in }
    ) {
        for step in FakeRollout(from: endpoints(namespace, service), to: pods).steps {
            before(step)
            setEndpoints(namespace, service, step.pods)
        }
    }
}
