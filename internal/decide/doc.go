// Package decide is the core: it turns what is known of a target into what is
// wanted of it. Decide is a function of its arguments alone, the time included;
// it does no I/O, and the same arguments give the same decision to the byte.
// Everything that shows or makes a decision calls this one function.
//
// The stages, each of which leaves a Step behind when it has something to say:
//
//	inventory  what is there, by class
//	targets    what the expressions ask for
//	bounds     what can never be: the last Machine stays, started ≤ created
//	safety     what must not be done now: doubt, releases, leases, back-off
//	supply     what the group's Machines allow
//
// Package plan then turns the decision into actions.
package decide
