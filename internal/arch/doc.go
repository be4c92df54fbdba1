// Package arch holds no code, only the test of the rules that keep the core
// pure and the shell thin: who may import whom, which calls are made where, and
// that every package says what it is for. docs/adr/0001 tells why. A rule is
// changed by changing the tables in rules_test.go, with its reason, and not by
// working around it.
package arch
