// Package elasticity measures how well the autoscaler follows real load: it plays
// weeks of a recorded workload in virtual time and tells how long jobs wait, what the
// Machines cost, and how many jobs are killed.
//
// The settings, the decisions and the plans are the real ones: config.Load,
// decide.Decide, plan.Build, decide.Observe. What they act on is a model of workers and
// a queue, which follows from its seed alone. There are no sockets, no goroutines and no
// clock, so that three weeks take a minute.
package elasticity
