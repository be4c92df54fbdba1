// Package sourcetest is the suite that every kind of metric source passes. A
// kind describes how to bring its server into a condition (Harness) and calls
// Run; the suite then holds the source to the contract of package source:
// right values, unknown instead of zero, own deadlines, no leaks of goroutines
// or credentials, and app names that stay data.
package sourcetest
