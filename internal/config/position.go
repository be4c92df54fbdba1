package config

import (
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// source is the text of a YAML file, to find the place of a character of a
// value.
type source struct {
	lines [][]rune // without their ends
}

func newSource(content []byte) *source {
	s := &source{}
	for line := range strings.SplitSeq(string(content), "\n") {
		s.lines = append(s.lines, []rune(strings.TrimSuffix(line, "\r")))
	}
	return s
}

// locate returns the place of the given byte of a scalar's value. It follows
// the value through quotes, escapes and folded lines; where it loses track, the
// place of the whole scalar is the answer.
func (s *source) locate(n *yaml.Node, offset int) (line, column int) {
	c := cursor{source: s, line: n.Line - 1, column: n.Column - 1}
	c.skipProperties()
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.line, c.column = c.line+1, 0
		c.skipSpace()
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		c.column++
	}
	double := n.Style&yaml.DoubleQuotedStyle != 0
	single := n.Style&yaml.SingleQuotedStyle != 0
	for i, want := range n.Value {
		got, ok := c.peek()
		for double && got == '\\' && c.atLineEnd() {
			c.column++
			c.skipSpace()
			got, ok = c.peek()
		}
		if escaped := double && got == '\\'; !escaped && got != want {
			// White space of the value and of the text differ where lines are
			// folded or indented.
			if isSpace(want) && i < offset {
				c.skipSpace()
				continue
			}
			if !ok || isSpace(got) {
				c.skipSpace()
				got, ok = c.peek()
			}
		}
		if i >= offset {
			break
		}
		switch {
		case !ok:
			return n.Line, n.Column
		case double && got == '\\':
			c.skipEscape()
		case single && got == '\'':
			c.column += 2
		case got == want:
			c.column++
		default:
			return n.Line, n.Column
		}
	}
	return c.line + 1, c.column + 1
}

// cursor is a place in the text; both count from 0.
type cursor struct {
	source       *source
	line, column int
}

// peek returns the character at the cursor; false at the end of a line or text.
func (c *cursor) peek() (rune, bool) {
	if c.line >= len(c.source.lines) || c.column >= len(c.source.lines[c.line]) {
		return 0, false
	}
	return c.source.lines[c.line][c.column], true
}

// skipSpace goes to the next character that is not white space.
func (c *cursor) skipSpace() {
	for c.line < len(c.source.lines) {
		if r, ok := c.peek(); !ok {
			c.line, c.column = c.line+1, 0
		} else if isSpace(r) {
			c.column++
		} else {
			return
		}
	}
}

// skipProperties passes &anchor and !tag.
func (c *cursor) skipProperties() {
	for {
		r, ok := c.peek()
		if !ok || r != '&' && r != '!' {
			return
		}
		for r, ok = c.peek(); ok && !isSpace(r); r, ok = c.peek() {
			c.column++
		}
		c.skipSpace()
	}
}

// atLineEnd reports whether the character at the cursor is the last of its line.
func (c *cursor) atLineEnd() bool {
	return c.line < len(c.source.lines) && c.column == len(c.source.lines[c.line])-1
}

// skipEscape passes one escape of a double-quoted scalar.
func (c *cursor) skipEscape() {
	c.column++
	r, _ := c.peek()
	c.column++
	switch r {
	case 'x':
		c.column += 2
	case 'u':
		c.column += 4
	case 'U':
		c.column += 8
	}
}

func isSpace(r rune) bool { return unicode.IsSpace(r) }
