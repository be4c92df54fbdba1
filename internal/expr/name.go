package expr

import (
	"fmt"
	"slices"
)

// words cannot be names: they are operators, literals or keywords of the
// language.
var words = []string{
	"and", "contains", "else", "endsWith", "false", "if", "in", "let",
	"matches", "nil", "not", "or", "startsWith", "true",
}

// maxNameLength bounds a metric's name; it also becomes a label of our own
// metrics.
const maxNameLength = 64

// ValidMetricName reports why name cannot name a metric in expressions, or nil.
// A name is ASCII letters, digits and '_', does not start with a digit, and is
// neither a word of the language nor a function of Expr. It may be a function that
// only we have, such as hour, which it then hides: a program that gains a function
// must not lose settings that were valid.
func ValidMetricName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name is empty")
	case len(name) > maxNameLength:
		return fmt.Errorf("the name is longer than %d characters", maxNameLength)
	case slices.Contains(words, name):
		return fmt.Errorf("%q is a word of the expression language", name)
	case isBuiltin(name):
		return fmt.Errorf("%q is a function of the expression language", name)
	}
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return fmt.Errorf("%q cannot be used in expressions: names are letters, digits and _, and do not start with a digit", name)
		}
	}
	return nil
}

func isBuiltin(name string) bool {
	f, ok := lookup(name)
	return ok && f.builtin
}
