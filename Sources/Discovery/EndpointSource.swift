// Where does each service live? A witness knows, or believes to know. Each kind of witness is one implementation: the
// configuration itself (``StaticEndpoints``) is the first.

import ProxyCore

/// A witness of where services live.
public protocol EndpointSource {
    /// What status pages and logs call it.
    var name: String { get }

    /// The endpoints of the service `service`, in a stable order. Empty where there are none, or where the witness does
    /// not know this service.
    func endpoints(of service: String) -> [Endpoint]
}
