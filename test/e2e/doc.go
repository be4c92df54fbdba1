// Package e2e holds the tests that start the real program against the simulated
// platform, the way users start it: a process with an environment, flags and
// files, that reaches everything over sockets and is ended by a signal.
package e2e
