// Package app puts the parts together: it turns settings into clients, sources,
// targets and a loop, starts them in order and takes them down in the opposite
// one. It is the only place that knows all the concrete parts, and it decides
// nothing about Machines.
package app
