package arch_test

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRules checks every package of the module. The tree under test/ holds
// tests and is exempt, as are all _test.go files.
func TestRules(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-f", "{{.ImportPath}}\t{{.Dir}}", module+"...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list the packages: %v", err)
	}
	checked := 0
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), "\t")
		path = strings.TrimPrefix(path, module)
		if path == "test" || strings.HasPrefix(path, "test/") {
			continue
		}
		fset := token.NewFileSet()
		for _, problem := range check(fset, parse(t, fset, path, dir)) {
			t.Error(problem)
		}
		checked++
	}
	if checked < 3 {
		t.Fatalf("only %d packages were found", checked)
	}
}

// parse reads all files of a package but its tests, whatever system they are
// for.
func parse(t *testing.T, fset *token.FileSet, path, dir string) parsed {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatalf("find the files of %s: %v", path, err)
	}
	p := newParsed(path)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		p.files[filepath.Base(name)] = file
	}
	return p
}
