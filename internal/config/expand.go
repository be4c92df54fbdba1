package config

import (
	"fmt"
	"strings"
)

// appName is the variable of the app being scaled. In queries it stays as it
// is, until the query is sent.
const appName = "APP_NAME"

// expander puts the values of environment variables into YAML scalars.
//
//	${NAME}   the value; an unknown name is a problem
//	$${       the two characters ${
//	$NAME     the value, where bare and the variable exists; else as it is
type expander struct {
	*reporter
	lookup func(string) (string, bool)
	bare   bool
	query  bool
}

// expand returns s with its variables expanded, and whether there were any.
func (e *expander) expand(s string, at origin) (string, bool) {
	if !strings.Contains(s, "$") {
		return s, false
	}
	var b strings.Builder
	expanded := false
	for i := 0; i < len(s); {
		rest := s[i:]
		if strings.HasPrefix(rest, "$${") {
			b.WriteString("${")
			i += len("$${")
			expanded = true // offsets in the value are no longer those in the text
			continue
		}
		name, length := variable(rest)
		if name == "" || e.query && name == appName {
			b.WriteByte(s[i])
			i++
			continue
		}
		braced := strings.HasPrefix(rest, "${")
		value, known := "", false
		if braced || e.bare {
			value, known = e.lookup(name)
		}
		switch {
		case known:
			b.WriteString(value)
			expanded = true
		case braced:
			e.unknown(name, at, i)
			expanded = true
		default:
			b.WriteString(rest[:length])
		}
		i += length
	}
	return b.String(), expanded
}

func (e *expander) unknown(name string, at origin, offset int) {
	at.lead = 0
	line, column := at.at(offset)
	hint := "set it, or write $${ for the characters ${"
	if name == appName {
		hint = "${APP_NAME} is known in queries only"
	}
	e.problemAt(at, line, column, fmt.Sprintf("the environment has no variable %s", name), hint)
}

// variable returns the name of the variable that s starts with, and the length
// of the reference; "" when s starts with none.
func variable(s string) (name string, length int) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return "", 0
	}
	rest, braced := strings.CutPrefix(rest, "{")
	end := 0
	for end < len(rest) && isNameByte(rest[end], end == 0) {
		end++
	}
	switch {
	case end == 0:
		return "", 0
	case !braced:
		return rest[:end], 1 + end
	case end < len(rest) && rest[end] == '}':
		return rest[:end], 2 + end + 1
	}
	return "", 0
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || !first && '0' <= c && c <= '9'
}
