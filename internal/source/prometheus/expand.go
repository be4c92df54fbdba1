package prometheus

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// variable is the name of the one variable that a query may hold.
const variable = "APP_NAME"

// Expand replaces $APP_NAME and ${APP_NAME} in a PromQL or MetricsQL query by
// the name of an app, escaped for where it stands, so that the query keeps its
// structure whatever the name is:
//
//   - in a string in single or double quotes, as that string's text;
//   - in a backquoted string as it is, or an error when such a string cannot
//     hold it;
//   - in a string that follows =~ or !~, matching the name literally;
//   - outside of strings, only a name that the platform could have given, or an
//     error.
//
// In comments nothing is replaced, and $APP_NAME_SUFFIX is another variable. An
// empty name is an error where there is a variable: a matcher with an empty value
// selects the series of no app.
func Expand(query string, app scale.App) (string, error) {
	return parseTemplate(query).expand(app)
}

// template is a query cut at its variables.
type template []segment

// segment is literal text, followed by the app's name unless it is the last.
type segment struct {
	text  string
	place place
}

// place is where in a query a variable stands.
type place struct {
	quote   byte // the quote of the string it stands in, 0 outside of strings
	regexp  bool // the string is a pattern
	braces  bool // it stands among the matchers of a selector
	nothing bool // no variable: the end of the query
}

// perApp reports whether the query differs from app to app.
func (t template) perApp() bool { return len(t) > 1 }

func (t template) expand(app scale.App) (string, error) {
	if t.perApp() && app == "" {
		return "", errors.New("app name is empty")
	}
	var b strings.Builder
	for _, s := range t {
		b.WriteString(s.text)
		if s.place.nothing {
			break
		}
		name, err := s.place.escape(string(app))
		if err != nil {
			return "", err
		}
		b.WriteString(name)
	}
	return b.String(), nil
}

// parseTemplate finds the variables of a query. It reads the query as the
// servers do as far as strings and comments go, and no further. It accepts
// every text; what is no query will be refused by the server.
func parseTemplate(query string) template {
	var (
		t       template
		from    int // start of the text that is not in t yet
		at      place
		pattern bool // outside of strings: what comes next stands after =~ or !~
		braces  bool // outside of strings: a brace is open
	)
	for i := 0; i < len(query); {
		if n := variableAt(query[i:]); n > 0 {
			t = append(t, segment{text: query[from:i], place: at})
			i += n
			from = i
			pattern = false
			continue
		}
		c := query[i]
		switch {
		case at.quote != 0:
			switch {
			case c == at.quote:
				at = place{}
			case c == '\\' && at.quote != '`':
				i += escapeLen(query[i:])
				continue
			}
		case c == '"' || c == '\'' || c == '`':
			at = place{quote: c, regexp: pattern, braces: braces}
			pattern = false
		case c == '\\':
			// MetricsQL: part of a name. What follows is no quote.
			i += min(2, len(query)-i)
			pattern = false
			continue
		case c == '#':
			i += commentLen(query[i:])
			continue
		case c == '{' || c == '}':
			braces = c == '{'
			pattern = false
		case c == '~' && i > 0 && (query[i-1] == '=' || query[i-1] == '!'):
			pattern = true
		case c != ' ' && c != '\t' && c != '\n' && c != '\r':
			pattern = false
		}
		i++
	}
	return append(t, segment{text: query[from:], place: place{nothing: true}})
}

// variableAt returns the length of the variable that s begins with, or 0.
func variableAt(s string) int {
	if braced := "${" + variable + "}"; strings.HasPrefix(s, braced) {
		return len(braced)
	}
	bare := "$" + variable
	if !strings.HasPrefix(s, bare) {
		return 0
	}
	if len(s) > len(bare) && isIdentifier(s[len(bare)]) {
		return 0
	}
	return len(bare)
}

func isIdentifier(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// escapeLen returns the length of the escape sequence that s, text of a string,
// begins with. A variable is not looked for inside one: otherwise the first
// letters of a name could complete it.
func escapeLen(s string) int {
	n := 2
	if len(s) > 1 {
		switch s[1] {
		case 'x', '0', '1', '2', '3', '4', '5', '6', '7':
			n = 4
		case 'u':
			n = 6
		case 'U':
			n = 10
		}
	}
	// A sequence that the string ends in the middle of is refused by the server.
	// Not to read on here would take the rest of the query for a string.
	for i := 2; i < min(n, len(s)); i++ {
		if s[i] == '"' || s[i] == '\'' || s[i] == '\\' {
			return i
		}
	}
	return min(n, len(s))
}

// commentLen returns the length of the comment that s begins with.
func commentLen(s string) int {
	if end := strings.IndexAny(s, "\r\n"); end >= 0 {
		return end
	}
	return len(s)
}

// escape returns the name as it must be written at this place.
func (p place) escape(name string) (string, error) {
	if p.quote == 0 {
		if !source.ValidApp(scale.App(name)) {
			return "", fmt.Errorf("app name %q cannot stand in a query outside of quotes", name)
		}
		return name, nil
	}
	if p.regexp {
		name = regexp.QuoteMeta(name)
	}
	if p.quote == '`' {
		if strings.ContainsAny(name, "`\r") || !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError) {
			return "", fmt.Errorf("app name %q cannot stand in a backquoted string", name)
		}
		return name, nil
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, name[i])
		case r == utf8.RuneError:
			// The servers' lexers take a genuine U+FFFD for broken text.
			b.WriteString(`\ufffd`)
		case r == '\\', r == rune(p.quote):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String(), nil
}
