// Package decide is the core: it turns what is known of a target into what is
// wanted of it. Decide is a function of its arguments alone, the time included;
// it does no I/O, and the same arguments give the same decision to the byte.
// Everything that shows or makes a decision calls this one function.
//
// The stages, each of which leaves a Step behind when it has something to say:
//
//	inventory  what is there, by class
//	targets    what the expressions ask for, the fast twin and the fallback included
//	schedule   floors and ceilings of the time of day
//	tolerance  what is close enough
//	window     what has not held for long enough
//	bounds     what can never be: the last Machine stays, started ≤ created
//	rate       how fast
//	safety     what must not be done now: doubt, releases, leases, pauses, back-off, budgets
//	zero       whether the last started Machine may go
//	supply     what the group's Machines allow
//
// The stages up to the windows turn limits into limits, and what is wanted is what
// there is, moved into them. So a band, a floor and an exact count are one thing, and
// what is not known asks for nothing. What the expressions said is in
// scale.Decision.Limits, and what the stages made of it in Within.
//
// Package plan then turns the decision into actions.
package decide
