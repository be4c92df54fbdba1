package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)|<img [^>]*src="([^"]+)"`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
)

// TestLinks follows the links between the documents, to headings too.
func TestLinks(t *testing.T) {
	for _, file := range append(documents(t), "CHANGELOG.md") {
		for _, found := range link.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, file), ""), -1) {
			target := found[1] + found[2]
			if strings.Contains(target, "://") {
				continue
			}
			path, anchor, _ := strings.Cut(target, "#")
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: link to %s: %v", file, target, err)
				continue
			}
			if anchor != "" && !anchors(t, to)[anchor] {
				t.Errorf("%s: link to %s: there is no such heading", file, target)
			}
		}
	}
}

// anchors returns the names under which the headings of a document can be linked
// to.
func anchors(t *testing.T, file string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, file), ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(found[1]))
		out[name] = true
	}
	return out
}

// Every document can be found from the README.
func TestEveryDocumentIsLinked(t *testing.T) {
	readme := read(t, "README.md")
	for _, file := range documents(t)[1:] {
		if !strings.Contains(readme, "("+file+")") {
			t.Errorf("README.md does not link to %s", file)
		}
	}
}
