// Package elasticity measures how well the autoscaler follows real load: it plays
// weeks of recorded workloads in virtual time and tells how long jobs wait, how many are
// killed, how many requests are not served, and what the Machines cost.
//
// The settings, the decisions and the plans are the real ones: config.Load,
// decide.Decide, plan.Build, decide.Observe. What they act on is a model of Machines
// and their load, which follows from its seed alone. There are no sockets, no goroutines and no
// clock, so that three weeks take a minute.
package elasticity
