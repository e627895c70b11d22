// Every page of Tests/Corpus/Wire, case by case.

import TestTools
import Testing

@testable import ProxyCore

@Suite struct WireTests {
    @Test(arguments: try WirePage.all())
    func bytesMeanWhatThePageSays(_ page: WirePage) throws {
        let runner = WireRunner()
        for wire in page.cases {
            try runner.run(wire)
        }
        #expect(runner.complaints.isEmpty, "\n\(runner.complaints.joined(separator: "\n"))")
    }

    @Test func thereAreManyCases() throws {
        #expect(try WirePage.all().reduce(0) { $0 + $1.cases.count } >= 220)
    }
}

extension WirePage: CustomTestStringConvertible {
    /// The page and its size.
    public var testDescription: String { "\(name), \(cases.count) cases" }
}
