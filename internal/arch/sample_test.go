package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newParsed(path string) parsed { return parsed{path: path, files: map[string]*ast.File{}} }

// TestCheck shows that each rule finds what breaks it and lets pass what does
// not.
func TestCheck(t *testing.T) {
	const doc = "// Package x is a sample.\n"
	imp := func(paths ...string) string {
		return doc + "package x\nimport (\n_ \"" + strings.Join(paths, "\"\n_ \"") + "\"\n)\n"
	}
	calls := func(path, expression string) string {
		return doc + "package x\nimport \"" + path + "\"\nfunc f() { _ = " + expression + " }\n"
	}
	own := func(paths ...string) string {
		full := make([]string, len(paths))
		for i, p := range paths {
			full[i] = module + p
		}
		return imp(full...)
	}
	tests := []struct {
		name, path, source string
		want               []string // beginnings of problems, without the reasons
	}{
		{"clean", "internal/scale", imp("time", "encoding/json"), nil},
		{"no level", "internal/util", imp("time"), []string{"internal/util: has no level"}},
		{"vocabulary imports", "internal/scale", imp("context", "log/slog", "github.com/a/b"), []string{
			"internal/scale/x.go:4: internal/scale must not import context",
			"internal/scale/x.go:5: internal/scale must not import log/slog",
			"internal/scale/x.go:6: internal/scale must not import github.com/a/b",
		}},
		{"core imports core", "internal/decide", own("internal/scale", "internal/plan", "internal/policy"), nil},
		{"core, wrong way", "internal/place", own("internal/decide"), []string{
			"internal/place/x.go:4: internal/place must not import internal/decide",
		}},
		{"core imports shell", "internal/decide", own("internal/flyapi"), []string{
			"internal/decide/x.go:4: internal/decide must not import internal/flyapi",
		}},
		{"core does I/O", "internal/policy", imp("os", "net/http", "log/slog"), []string{
			"internal/policy/x.go:4: internal/policy must not import os",
			"internal/policy/x.go:5: internal/policy must not import net/http",
			"internal/policy/x.go:6: internal/policy must not import log/slog",
		}},
		{"core reads the clock", "internal/decide", calls("time", "time.Now()"), []string{
			"internal/decide/x.go:4: internal/decide must not use time.Now",
		}},
		{"renamed import", "internal/decide", doc + "package x\nimport clock \"time\"\nvar now = clock.Now\n", []string{
			"internal/decide/x.go:4: internal/decide must not use time.Now",
		}},
		{"shell reads the clock", "internal/fleet", calls("time", "time.Now()"), nil},
		{"core throws dice", "internal/place", calls("math/rand/v2", "rand.Int()"), []string{
			"internal/place/x.go:4: internal/place must not use rand.Int",
		}},
		{"core starts a goroutine", "internal/place", doc + "package x\nfunc f() { go f() }\n", []string{
			"internal/place/x.go:3: internal/place must not start goroutines",
		}},
		{"shell starts a goroutine", "internal/fleet", doc + "package x\nfunc f() { go f() }\n", nil},
		{"source imports its contract", "internal/source/redis", own("internal/source", "internal/scale"), nil},
		{"source imports another", "internal/source/redis", own("internal/source/nats"), []string{
			"internal/source/redis/x.go:4: internal/source/redis must not import internal/source/nats",
		}},
		{"builtin imports all", "internal/source/builtin", own("internal/source/nats", "internal/source/redis"), nil},
		{"platform imports metrics", "internal/fleet", own("internal/flyapi", "internal/source"), []string{
			"internal/fleet/x.go:5: internal/fleet must not import internal/source",
		}},
		{"loop imports an adapter", "internal/reconcile", own("internal/decide", "internal/fleet"), []string{
			"internal/reconcile/x.go:5: internal/reconcile must not import internal/fleet",
		}},
		{"face imports the loop", "internal/httpapi", own("internal/journal", "internal/reconcile"), []string{
			"internal/httpapi/x.go:5: internal/httpapi must not import internal/reconcile",
		}},
		{"root imports below", "internal/app", own("internal/reconcile", "internal/source/builtin", "internal/store/jetstream"), nil},
		{"root imports a command", "internal/app", own("cmd/flysim"), []string{
			"internal/app/x.go:4: internal/app must not import cmd/flysim",
		}},
		{"command imports the core", "cmd/fly-autoscaler", own("internal/app", "internal/decide"), []string{
			"cmd/fly-autoscaler/x.go:5: cmd/fly-autoscaler must not import internal/decide",
		}},
		{"nobody imports the SDK", "internal/flyapi", imp("github.com/superfly/fly-go/flaps"), []string{
			"internal/flyapi/x.go:4: internal/flyapi must not import github.com/superfly/fly-go/flaps",
		}},
		{"simulator imports the query engine", "internal/sim/flysim", imp("github.com/prometheus/prometheus/promql"), nil},
		{"product imports the query engine", "internal/source/prometheus", imp("github.com/prometheus/prometheus/promql"), []string{
			"internal/source/prometheus/x.go:4: internal/source/prometheus must not import github.com/prometheus/prometheus/promql",
		}},
		{"test code in the product", "internal/fleet", imp("testing"), []string{
			"internal/fleet/x.go:4: internal/fleet must not import testing",
		}},
		{"suite", "internal/source/sourcetest", imp("testing", "github.com/google/go-cmp/cmp"), nil},
		{"own context", "internal/fleet", calls("context", "context.Background()"), []string{
			"internal/fleet/x.go:4: internal/fleet must not use context.Background",
		}},
		{"command's context", "cmd/flysim", "// Flysim is a sample.\npackage main\nimport \"context\"\nvar ctx = context.Background()\n", nil},
		{"environment", "internal/config", calls("os", "os.Getenv(\"X\")"), []string{
			"internal/config/x.go:4: internal/config must not use os.Getenv",
		}},
		{"environment in the root", "internal/app", calls("os", "os.Getenv(\"X\")"), nil},
		{"shared client", "internal/flyapi", calls("net/http", "http.DefaultClient"), []string{
			"internal/flyapi/x.go:4: internal/flyapi must not use http.DefaultClient",
		}},
		{"shared logger", "internal/app", doc + "package x\nimport \"log/slog\"\nfunc f() { slog.SetDefault(nil) }\n", []string{
			"internal/app/x.go:4: internal/app must not use slog.SetDefault",
		}},
		{"shared registry", "internal/httpapi", calls("github.com/prometheus/client_golang/prometheus", "prometheus.DefaultRegisterer"), []string{
			"internal/httpapi/x.go:4: internal/httpapi must not use prometheus.DefaultRegisterer",
		}},
		{"init", "internal/app", doc + "package x\nfunc init() {}\n", []string{
			"internal/app/x.go:3: internal/app must not have an init function",
		}},
		{"method named init", "internal/app", doc + "package x\ntype t int\nfunc (t) init() {}\n", nil},
		{"no comment", "internal/app", "package x\n", []string{"internal/app: has 0 package comments"}},
		{"other comment", "internal/app", "// This does things.\npackage x\n", []string{
			`internal/app/x.go:1: package comment does not begin with "Package x "`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, "x.go", tt.source, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			p := newParsed(tt.path)
			p.files["x.go"] = file
			var got []string
			for _, problem := range check(fset, p) {
				claim, _, _ := strings.Cut(problem, ", because ")
				claim, _, _ = strings.Cut(claim, ", want ")
				claim, _, _ = strings.Cut(claim, "; give ")
				got = append(got, claim)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTwoPackageComments(t *testing.T) {
	fset := token.NewFileSet()
	p := newParsed("internal/app")
	for _, name := range []string{"a.go", "b.go"} {
		file, err := parser.ParseFile(fset, name, "// Package x is a sample.\npackage x\n", parser.ParseComments)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		p.files[name] = file
	}
	want := []string{"internal/app: has 2 package comments, want one that says what it is for"}
	if diff := cmp.Diff(want, check(fset, p)); diff != "" {
		t.Errorf("problems differ (-want +got):\n%s", diff)
	}
}
