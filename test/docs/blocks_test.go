package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is where the documents are.
const root = "../.."

// block is one fenced block of a document.
type block struct {
	file string // relative to root
	line int    // of the opening fence
	tag  string // its language and what stands behind it
	text string
}

// is reports whether the tag begins with the given words.
func (b block) is(words string) bool {
	return b.tag == words || strings.HasPrefix(b.tag, words+" ")
}

// option returns what follows name= in the tag.
func (b block) option(name string) string {
	for word := range strings.FieldsSeq(b.tag) {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return ""
}

// documents returns the paths of all documents for users, relative to root.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := []string{"README.md"}
	for _, f := range files {
		out = append(out, filepath.Join("docs", filepath.Base(f)))
	}
	if len(out) < 5 {
		t.Fatalf("found only %v", out)
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// blocks returns the fenced blocks of a document.
func blocks(t *testing.T, file string) []block {
	t.Helper()
	var out []block
	var open *block
	for i, line := range strings.Split(read(t, file), "\n") {
		tag, fence := strings.CutPrefix(line, "```")
		switch {
		case open == nil && fence:
			open = &block{file: file, line: i + 1, tag: strings.TrimSpace(tag)}
		case fence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block has no end", file, open.line)
	}
	return out
}

// section returns the lines of a document from the heading to the next of the
// same or a higher level.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\n"+read(t, file), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	level := strings.Repeat("#", strings.IndexByte(heading, ' '))
	var b strings.Builder
	for line := range strings.Lines(rest) {
		if marks, _, ok := strings.Cut(line, " "); ok && marks != "" && strings.Trim(marks, "#") == "" && len(marks) <= len(level) {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

// rows returns the cells of the rows of all tables in text, with the heads.
func rows(text string) [][]string {
	var out [][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| --") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, cells)
	}
	return out
}
