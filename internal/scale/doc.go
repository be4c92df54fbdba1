// Package scale is the vocabulary of the autoscaler: the values that every
// other package speaks of and passes on. It holds no behaviour beyond small
// pure methods, does no I/O, reads no clock and starts no goroutine, so that a
// value of this package means the same in a test, in a replay and in
// production.
//
// The flow of one pass, in these terms:
//
//	Sample, Snapshot ─▶ Decision ─▶ Plan (Actions) ─▶ Outcomes
package scale
