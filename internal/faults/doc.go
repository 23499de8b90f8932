// Package faults holds the tests that break what nodes stand on, and look afterwards for
// what was acknowledged: nodes and databases that are killed, stopped, cut off or full,
// clocks that are set, and a history of requests checked for linearizability. It has no
// code of its own.
//
// make test-faults runs them, with the build tag faults. A fault that can't be made on a
// machine fails its test: some need root.
package faults
