package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// The File of a problem that is in no file.
const (
	FileEnvironment = "environment"
	FileFlags       = "flags"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	// File is the name of the YAML file, FileEnvironment or FileFlags.
	File string
	// Line and Column count from 1, columns in characters. For the environment
	// and flags they are the place in the value, or 0 for all of it.
	Line, Column int
	// Path is the setting: "metric-collectors[0].query", "FAS_INTERVAL",
	// "-interval". It is empty for the file as a whole.
	Path    string
	Message string // what is wrong
	Hint    string // what would be right; may be empty
}

// String returns the problem as one line.
func (p Problem) String() string {
	var b strings.Builder
	switch p.File {
	case FileEnvironment, FileFlags:
		b.WriteString(p.Path + ": ")
		if p.Line > 1 {
			fmt.Fprintf(&b, "line %d, ", p.Line)
		}
		if p.Line > 0 {
			fmt.Fprintf(&b, "column %d: ", p.Column)
		}
	default:
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
		}
		b.WriteByte(' ')
		if p.Path != "" {
			b.WriteString(p.Path + ": ")
		}
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(", " + p.Hint)
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, b.String())
}

// Error implements error.
func (p Problem) Error() string { return p.String() }

// Problems is the error of Load: everything that is wrong, in the order of the
// layers and of the places in them. It has at least one element.
type Problems []Problem

// Error implements error. It gives one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single problems.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i := range p {
		errs[i] = p[i]
	}
	return errs
}

// Warning is something that is probably not meant, but harmless.
type Warning Problem

// String returns the warning as one line.
func (w Warning) String() string { return Problem(w).String() }

// compareProblems orders by layer, then by place. In the environment and the
// flags the setting is the place.
func compareProblems(a, b Problem) int {
	layer := func(p Problem) int { return slices.Index([]string{FileEnvironment, FileFlags}, p.File) }
	setting := 0
	if layer(a) >= 0 {
		setting = cmp.Compare(a.Path, b.Path)
	}
	return cmp.Or(
		cmp.Compare(layer(a), layer(b)),
		setting,
		cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Column, b.Column),
		cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Message, b.Message),
	)
}

// reporter collects problems and warnings.
type reporter struct {
	problems Problems
	warnings []Warning
}

// maxProblems bounds the report on a file that is something else altogether.
const maxProblems = 100

func (r *reporter) problem(at origin, message, hint string) {
	r.problemAt(at, at.line, at.column, message, hint)
}

func (r *reporter) problemAt(at origin, line, column int, message, hint string) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{at.file, line, column, at.path, message, hint})
	}
}

func (r *reporter) warn(at origin, message, hint string) {
	if len(r.warnings) < maxProblems {
		r.warnings = append(r.warnings, Warning{at.file, at.line, at.column, at.path, message, hint})
	}
}

// sorted returns what was collected, in order and without repetition.
func (r *reporter) sorted() (Problems, []Warning) {
	slices.SortFunc(r.problems, compareProblems)
	slices.SortFunc(r.warnings, func(a, b Warning) int { return compareProblems(Problem(a), Problem(b)) })
	return slices.Compact(r.problems), slices.Compact(r.warnings)
}
