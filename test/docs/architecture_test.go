package docs_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile("`([a-z0-9]+)\\.((?:Test|Fuzz)[A-Za-z]+)`")

// The tests that the documents name are there.
func TestNamedTestsExist(t *testing.T) {
	named := 0
	for _, file := range documents(t) {
		for _, found := range testName.FindAllStringSubmatch(read(t, file), -1) {
			named++
			if !testExists(t, found[1], found[2]) {
				t.Errorf("%s: there is no test %s in a package %s", file, found[2], found[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d tests are named", named)
	}
}

func testExists(t *testing.T, pkg, name string) bool {
	t.Helper()
	for _, pattern := range []string{"internal/" + pkg, "internal/*/" + pkg, "test/" + pkg, "cmd/" + pkg} {
		files, err := filepath.Glob(filepath.Join(root, pattern, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			rel, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(read(t, rel), "\nfunc "+name+"(") {
				return true
			}
		}
	}
	return false
}

// The table of packages has every package, at the level that internal/arch gives
// it, and no other.
func TestPackages(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "./internal/...", "./cmd/...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list the packages: %v", err)
	}
	packages := map[string]bool{}
	for line := range bytes.Lines(out) {
		_, path, _ := strings.Cut(strings.TrimSpace(string(line)), "fly-autoscaler/fly-autoscaler/")
		packages[path] = true
	}
	rules := read(t, "internal/arch/rules_test.go")
	for _, row := range rows(section(t, "docs/architecture.md", "## Packages"))[1:] {
		level, path := row[0], strings.Trim(row[1], "`")
		if !packages[path] {
			t.Errorf("there is no package %s", path)
		}
		delete(packages, path)
		patterns := []string{path, filepath.Dir(path) + "/*"}
		var rule []string
		for _, pattern := range patterns {
			if rule = regexp.MustCompile(`\{"` + regexp.QuoteMeta(pattern) + `", (\d)`).FindStringSubmatch(rules); rule != nil {
				break
			}
		}
		if rule == nil || rule[1] != level {
			t.Errorf("%s is documented at level %s, internal/arch says %v", path, level, rule)
		}
	}
	for path := range packages {
		t.Errorf("docs/architecture.md does not tell of %s", path)
	}
}
