// What is known of the cluster, and what of it did we not tell yet? All slices and Services of the namespaces in use,
// as the last list and the events since then left them. Whatever changes marks the services and addresses that hang on
// it; only those are translated again, and only what then differs is told. A list is a difference against what is here,
// never a new beginning.

import ProxyCore

/// The objects of the namespaces in use, and what was told of them.
struct SliceStore {
    /// One list of a namespace, all pages together.
    struct Listing<Object: ClusterObject>: Sendable {
        var objects: [Object]
        /// Objects that are there but could not be read: what was known of them stays.
        var unreadable: Set<ObjectKey> = []

        /// Adds an item.
        mutating func add(_ item: ReadObject<Object>) {
            switch item {
            case .object(let object): objects.append(object)
            case .unreadable(let key, _, _): if let key { unreadable.insert(key) }
            }
        }
    }

    private struct Namespace {
        /// Whether its slices were listed.
        var hasSlices = false
        /// Whether its Services were listed.
        var hasServices = false
        /// Whether its Services were asked for in vain, so that nobody waits for them.
        var lacksServices = false
    }

    private struct Target {
        var reference: KubernetesReference
        /// What was told last. Endpoints are nil where only a problem could be told.
        var told: (endpoints: [WitnessedEndpoint]?, problem: String?)?
        var toldClusterAddresses: [IPAddress] = []

        var key: ObjectKey { ObjectKey(namespace: reference.namespace, name: reference.service) }
    }

    /// The node that we run on.
    private let node: String?
    private var namespaces: [String: Namespace] = [:]
    private var targets: [String: Target] = [:]
    private var targetsByService: [ObjectKey: [String]] = [:]

    private var slices: [ObjectKey: SliceObject] = [:]
    private var slicesByService: [ObjectKey: Set<ObjectKey>] = [:]
    private var slicesByAddress: [IPAddress: [ObjectKey]] = [:]
    private var services: [ObjectKey: ServiceObject] = [:]
    private var toldClaims: [IPAddress: [AddressClaim]] = [:]

    private var changedServices: Set<ObjectKey> = []
    private var changedAddresses: Set<IPAddress> = []
    /// How many services were not told yet.
    private var untold = 0
    private var toldComplete = false
    /// Whether slices were listed since the last update: even where nothing differs, that everything is known is news.
    private var hasNewList = false

    init(node: String? = nil) { self.node = node }

    // MARK: What is asked for

    /// The namespaces that are needed.
    var neededNamespaces: [String] { namespaces.keys.sorted() }

    /// Asks for these services from now on. What is known of namespaces that stay in use stays.
    mutating func retarget(_ specs: [ServiceSpec]) {
        let old = targets
        targets = [:]
        targetsByService = [:]
        for spec in specs {
            guard let reference = spec.kubernetes else { continue }
            var target = Target(reference: reference)
            if let before = old[spec.name], before.reference == reference { target = before }
            if targets.updateValue(target, forKey: spec.name) != nil { continue }
            targetsByService[target.key, default: []].append(spec.name)
            if target.told == nil { changedServices.insert(target.key) }
        }
        untold = targets.values.count { $0.told == nil }
        let needed = Set(targets.values.map(\.reference.namespace))
        for name in Set(namespaces.keys).subtracting(needed) { forget(name) }
        for name in needed where namespaces[name] == nil { namespaces[name] = Namespace() }
    }

    private mutating func forget(_ namespace: String) {
        for key in slices.keys where key.namespace == namespace { removeSlice(key) }
        for key in services.keys where key.namespace == namespace { services[key] = nil }
        namespaces[namespace] = nil
    }

    // MARK: What is heard

    /// A slice is there, as this.
    mutating func keep(_ slice: SliceObject) {
        guard namespaces[slice.key.namespace] != nil else { return }
        let old = slices[slice.key]
        slices[slice.key] = slice
        if let old {
            // Most events change conditions alone; a version alone changes nothing.
            if old.service == slice.service, old.isHeadless == slice.isHeadless, old.parts == slice.parts { return }
            if old.service != slice.service { unlink(old) }
            noteClaims(of: old)
        }
        if let owner = Self.owner(slice) {
            slicesByService[owner, default: []].insert(slice.key)
            changedServices.insert(owner)
        }
        noteClaims(of: slice)
        relinkAddresses(slice.key, from: old, to: slice)
    }

    /// A slice is gone.
    mutating func removeSlice(_ key: ObjectKey) {
        guard let old = slices.removeValue(forKey: key) else { return }
        unlink(old)
        noteClaims(of: old)
        relinkAddresses(key, from: old, to: nil)
    }

    /// These are all slices of a namespace.
    mutating func replaceSlices(of namespace: String, _ listing: Listing<SliceObject>) {
        guard namespaces[namespace] != nil else { return }
        var gone = Set(slices.keys.filter { $0.namespace == namespace }).subtracting(listing.unreadable)
        for slice in listing.objects where slice.key.namespace == namespace {
            gone.remove(slice.key)
            keep(slice)
        }
        for key in gone { removeSlice(key) }
        hasNewList = true
        if namespaces[namespace]?.hasSlices == false {
            namespaces[namespace]?.hasSlices = true
            markAll(namespace)
        }
    }

    /// A Service is there, as this.
    mutating func keep(_ service: ServiceObject) {
        guard namespaces[service.key.namespace] != nil else { return }
        guard services.updateValue(service, forKey: service.key) != service else { return }
        changedServices.insert(service.key)
    }

    /// A Service is gone. Its slices follow later, by themselves.
    mutating func removeService(_ key: ObjectKey) {
        if services.removeValue(forKey: key) != nil { changedServices.insert(key) }
    }

    /// These are all Services of a namespace.
    mutating func replaceServices(of namespace: String, _ listing: Listing<ServiceObject>) {
        guard namespaces[namespace] != nil else { return }
        var gone = Set(services.keys.filter { $0.namespace == namespace }).subtracting(listing.unreadable)
        for service in listing.objects where service.key.namespace == namespace {
            gone.remove(service.key)
            keep(service)
        }
        for key in gone { removeService(key) }
        guard namespaces[namespace]?.hasServices == false else { return }
        namespaces[namespace]?.hasServices = true
        markAll(namespace)
    }

    /// The Services of a namespace cannot be had: what needs none of them is told without.
    mutating func servicesAreMissing(in namespace: String) {
        guard namespaces[namespace]?.lacksServices == false else { return }
        namespaces[namespace]?.lacksServices = true
        markAll(namespace)
    }

    private mutating func markAll(_ namespace: String) {
        for target in targets.values where target.reference.namespace == namespace {
            changedServices.insert(target.key)
        }
    }

    // MARK: What is told

    /// What changed since this was asked last; nil where nothing did.
    mutating func takeUpdate() -> KubernetesUpdate? {
        var update = KubernetesUpdate()
        for key in changedServices {
            for name in targetsByService[key] ?? [] { tell(name, &update) }
        }
        changedServices.removeAll(keepingCapacity: true)
        for address in changedAddresses {
            let claims = claims(on: address)
            let old = toldClaims[address] ?? []
            guard claims != old else { continue }
            toldClaims[address] = claims.isEmpty ? nil : claims
            update.claims[address] = claims
        }
        changedAddresses.removeAll(keepingCapacity: true)
        update.isComplete = untold == 0
        defer {
            toldComplete = update.isComplete
            hasNewList = false
        }
        let isNews =
            !update.services.isEmpty || !update.problems.isEmpty || !update.claims.isEmpty
            || !update.clusterAddresses.isEmpty || update.isComplete != toldComplete
            || (hasNewList && update.isComplete)
        return isNews ? update : nil
    }

    private mutating func tell(_ name: String, _ update: inout KubernetesUpdate) {
        guard var target = targets[name], let namespace = namespaces[target.reference.namespace] else { return }
        defer { targets[name] = target }
        let service = services[target.key]
        let clusterAddresses = service?.clusterAddresses ?? []
        if clusterAddresses != target.toldClusterAddresses {
            update.clusterAddresses[name] = clusterAddresses
            target.toldClusterAddresses = clusterAddresses
        }
        // Before its lists are in, a service without slices is one that we did not hear of, not one without endpoints.
        guard namespace.hasSlices, namespace.hasServices || namespace.lacksServices else { return }
        let slices = slicesByService[target.key, default: []].compactMap { self.slices[$0] }
        let result = Translation.endpoints(of: target.reference, service: service, slices: slices, node: node)
        var endpoints: [WitnessedEndpoint]? = result.endpoints
        var problem = result.problem
        if service == nil, namespace.hasServices {
            problem = slices.isEmpty ? "there is no Service \(target.key)" : problem
        } else if service == nil, problem != nil {
            // Its Service may well be there: we were not told.
            endpoints = nil
        }
        if let told = target.told {
            if told == (endpoints, problem) { return }
        } else {
            untold -= 1
        }
        target.told = (endpoints, problem)
        update.services[name] = endpoints
        update.problems[name] = problem
    }

    // MARK: Claims

    /// Who says that this address is his: a claim for each pod, from all slices that name it.
    private func claims(on address: IPAddress) -> [AddressClaim] {
        struct Owner {
            var claim: AddressClaim
            var isHeadless: Bool
        }
        var owners: [String: Owner] = [:]
        for key in slicesByAddress[address] ?? [] {
            guard let slice = slices[key] else { continue }
            for part in slice.parts {
                for member in part.members where member.ip == address {
                    guard let uid = member.uid else { continue }
                    let ports = Set(part.ports.compactMap { $0.isTCP ? $0.number : nil })
                    let name = "\(key.namespace)/\(slice.service ?? key.name)"
                    guard var owner = owners[uid] else {
                        owners[uid] = Owner(
                            claim: AddressClaim(
                                uid: uid, owner: name, node: member.node, ports: ports,
                                terminating: member.terminating), isHeadless: slice.isHeadless)
                        continue
                    }
                    owner.claim.ports.formUnion(ports)
                    owner.claim.terminating = owner.claim.terminating && member.terminating
                    owner.claim.node = owner.claim.node ?? member.node
                    // People know a pod by the Service that they call, less by a headless one beside it.
                    if (slice.isHeadless ? 1 : 0, name) < (owner.isHeadless ? 1 : 0, owner.claim.owner) {
                        owner.claim.owner = name
                        owner.isHeadless = slice.isHeadless
                    }
                    owners[uid] = owner
                }
            }
        }
        return owners.values.map(\.claim).sorted { $0.uid < $1.uid }
    }

    private mutating func noteClaims(of slice: SliceObject) {
        for part in slice.parts { for member in part.members { changedAddresses.insert(member.ip) } }
    }

    private mutating func relinkAddresses(_ key: ObjectKey, from old: SliceObject?, to new: SliceObject?) {
        let before = old.map(Self.addresses) ?? []
        let after = new.map(Self.addresses) ?? []
        for address in before.subtracting(after) {
            slicesByAddress[address]?.removeAll { $0 == key }
            if slicesByAddress[address]?.isEmpty ?? false { slicesByAddress[address] = nil }
        }
        for address in after.subtracting(before) { slicesByAddress[address, default: []].append(key) }
    }

    private mutating func unlink(_ slice: SliceObject) {
        guard let owner = Self.owner(slice) else { return }
        slicesByService[owner]?.remove(slice.key)
        if slicesByService[owner]?.isEmpty ?? false { slicesByService[owner] = nil }
        changedServices.insert(owner)
    }

    private static func owner(_ slice: SliceObject) -> ObjectKey? {
        slice.service.map { ObjectKey(namespace: slice.key.namespace, name: $0) }
    }

    private static func addresses(_ slice: SliceObject) -> Set<IPAddress> {
        var addresses: Set<IPAddress> = []
        for part in slice.parts { for member in part.members { addresses.insert(member.ip) } }
        return addresses
    }
}
