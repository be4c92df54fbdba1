// Package scenario plays scripts about the autoscaler: settings, an app's Machines, and
// a timeline of what metrics say and of what is expected then. The passes are those of
// the product, package reconcile, over a simulated world of package sim in virtual
// time; nothing of it is random, and an hour takes milliseconds.
//
// A script is a YAML file that a user can read and write, about one thing:
//
//	about: a dip that is shorter than the window stops nothing
//	settings:
//	  started-machine-count: ceil(queue_depth / 10)
//	  behavior: {scale-down: {stabilization-window: 5m}}
//	machines: [{count: 5}]
//	timeline:
//	  - {at: 0s, metrics: {queue_depth: 50}}
//	  - {at: 1m, metrics: {queue_depth: 10}}
//	  - {at: 1m, until: 5m45s, expect: {started: 5, says: window}}
//	  - {at: 6m, expect: {started: 1}}
//
// It plays one app, and neither requests nor leases: what the executor and the client
// make of a plan is the matter of their own tests.
package scenario
