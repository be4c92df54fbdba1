package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is why an expression does not compile.
type Error struct {
	Offset  int    // of the problem in the source: bytes, from 0
	Line    int    // of the problem in the source, from 1
	Column  int    // in that line: characters, from 1
	Message string // what is wrong, lower case
	Hint    string // what would be right; may be empty
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:%d: %s", e.Line, e.Column, e.Message)
	if e.Hint != "" {
		b.WriteString(", " + e.Hint)
	}
	return b.String()
}

// UnknownMetricError is returned when the expression needs a metric that has no
// reading, or not the history that a function asks for, and does not say what to
// use instead.
type UnknownMetricError struct {
	Name    string
	history string // what the history lacks; empty when there is no reading
}

// Error implements error.
func (e *UnknownMetricError) Error() string {
	if e.history != "" {
		return fmt.Sprintf("metric %s: %s", e.Name, e.history)
	}
	return fmt.Sprintf("metric %s has no reading", e.Name)
}

// errorAt returns an Error for a byte offset of src.
func errorAt(src string, offset int, message, hint string) *Error {
	offset = min(max(offset, 0), len(src))
	before := src[:offset]
	line := 1 + strings.Count(before, "\n")
	lineStart := strings.LastIndexByte(before, '\n') + 1
	return &Error{
		Offset:  offset,
		Line:    line,
		Column:  1 + utf8.RuneCountInString(before[lineStart:]),
		Message: message,
		Hint:    hint,
	}
}

// byteOffset converts an offset that counts characters, as the parser does.
func byteOffset(src string, runes int) int {
	for i := range src {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(src)
}
