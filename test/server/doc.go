// Package server starts real servers for tests, each with a folder of its own
// and on a free port of the loopback interface, and stops them by process id
// when the test ends. A server that is not installed fails the test: a test that
// silently does not run proves nothing.
package server
