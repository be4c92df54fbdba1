// Package reconcile is the loop: it brings each target to where it is wanted,
// again and again. A pass collects the samples, reads the Machines, decides,
// plans, acts and reports, on one screen of code.
//
// A target is in one worker's hands at most. It is due an interval after the
// pass before, at once when it is new. A pass that fails, hangs or panics costs
// its own target that pass and its worker the pass's timeout, and nothing else.
// The loop holds no state that it could not do without: lose it and the next
// pass starts from what the platform shows. What it can be given to keep, see
// Memories, makes the next process as wise as this one.
package reconcile
