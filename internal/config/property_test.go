package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// document draws a valid configuration, as the values that YAML is written
// from and as the settings that should come of it.
func document(t *rapid.T) (map[string]any, *config.Settings) {
	doc := map[string]any{}
	want := config.Defaults()
	want.Sources = []string{"f.yml"}
	duration := func(key string, lowest, highest time.Duration, into *time.Duration) {
		if rapid.Bool().Draw(t, key) {
			*into = time.Duration(rapid.Int64Range(int64(lowest), int64(highest)).Draw(t, key))
			doc[key] = into.String()
		}
	}
	duration("interval", 100*time.Millisecond, time.Hour, &want.Interval)
	duration("timeout", time.Second, 10*time.Minute, &want.Timeout)
	duration("app-list-refresh-interval", time.Second, 24*time.Hour, &want.AppListRefreshInterval)
	if rapid.Bool().Draw(t, "more") {
		want.Concurrency = rapid.IntRange(1, 1000).Draw(t, "concurrency")
		want.DryRun = rapid.Bool().Draw(t, "dry-run")
		want.LogLevel = slog.LevelWarn
		doc["concurrency"], doc["dry-run"], doc["log-level"] = want.Concurrency, want.DryRun, "warn"
	}
	want.Org = "org-" + rapid.StringMatching(`[a-z0-9]{1,8}`).Draw(t, "org")
	doc["org"] = want.Org
	token := scale.Secret(rapid.StringMatching(`[A-Za-z0-9 "':#{}\[\],&*!|>%@-]{0,20}x`).Draw(t, "token"))
	token = scale.Secret(strings.TrimSpace(string(token)))
	doc["api-token"] = string(token)

	metrics := rapid.SliceOfNDistinct(rapid.StringMatching(`m[a-z0-9_]{0,6}`), 0, 3, rapid.ID).Draw(t, "metrics")
	var collectors []config.Collector
	var written []any
	for _, name := range metrics {
		c := config.Collector{
			Type: "prometheus", MetricName: name, Address: "https://" + rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "host") + ".example/p",
			Query: strings.TrimSpace(rapid.StringMatching(`[a-z({})'"=~$1 :#\[\]|>-]{0,20}q`).Draw(t, "query")),
			Token: scale.Secret(rapid.StringMatching(`[A-Za-z0-9]{0,5}`).Draw(t, "token")),
		}
		collectors = append(collectors, c)
		written = append(written, map[string]any{
			"type": "prometheus", "metric-name": name, "address": c.Address, "query": c.Query, "token": string(c.Token),
		})
	}
	if len(written) > 0 {
		doc["metric-collectors"] = written
	}
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9*-]{0,10}`), 1, 3, rapid.ID).Draw(t, "apps")
	var targets []any
	for i, name := range names {
		target := config.Target{Name: fmt.Sprintf("targets[%d]", i), AppPattern: name, Org: want.Org, Group: "app", APIToken: token, Launch: true, Collectors: collectors}
		out := map[string]any{"app-name": name}
		if rapid.Bool().Draw(t, "flat") && i == 0 {
			target.Name = "flat"
			out = doc
			doc["app-name"] = name
		}
		if rapid.Bool().Draw(t, "details") {
			target.Group, target.Launch, target.Regions = "worker", false, []scale.Region{"iad", "fra"}
			out["process-group"], out["initial-machine-state"], out["regions"] = "worker", "stopped", []string{"iad", "fra"}
		}
		count := func(key string) *expr.Program {
			src := rapid.SampledFrom([]string{"1", "0x10", "started + 1", "(if started > 2 { 2 } else { 1 })", "max(1,\n  2)", "2 // 'two: 2'"}).Draw(t, key)
			if len(metrics) > 0 {
				src = rapid.SampledFrom(metrics).Draw(t, key) + " + " + src
			}
			out[key] = src
			p, err := expr.Compile(src, metrics)
			if err != nil {
				t.Fatalf("compile %q: %v", src, err)
			}
			return p
		}
		switch rapid.IntRange(0, 3).Draw(t, "counts") {
		case 0:
			target.MinStarted = count("started-machine-count")
			target.MaxStarted = target.MinStarted
		case 1:
			target.MinStarted = count("min-started-machine-count")
			target.MaxCreated = count("max-created-machine-count")
		case 2:
			target.MaxStarted = count("max-started-machine-count")
		case 3:
			target.MinCreated = count("created-machine-count")
			target.MaxCreated = target.MinCreated
		}
		if target.Name == "flat" {
			// It alone: the names of the others would count from it.
			want.Targets = append(want.Targets, target)
			return doc, &want
		}
		targets = append(targets, out)
		want.Targets = append(want.Targets, target)
	}
	doc["targets"] = targets
	return doc, &want
}

// What a configuration says is what comes out, however it is written as YAML.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		doc, want := document(rt)
		var options []yaml.Option
		if rapid.Bool().Draw(rt, "double quotes") {
			options = append(options, yaml.WithQuotePreference(yaml.QuoteDouble))
		}
		if rapid.Bool().Draw(rt, "narrow") {
			options = append(options, yaml.WithLineWidth(20))
		}
		text, err := yaml.Dump(doc, options...)
		if err != nil {
			rt.Fatalf("write: %v", err)
		}
		got, warnings, err := input{yaml: string(text)}.load(t)
		if err != nil {
			rt.Fatalf("load: %v\n%s", err, text)
		}
		if len(warnings) > 0 {
			rt.Fatalf("got warnings %v\n%s", warnings, text)
		}
		if diff := cmp.Diff(want, got, programs); diff != "" {
			rt.Fatalf("want -, got +\n%s\n%s", diff, text)
		}
	})
}

// A '*' matches what a slow and obvious matcher says.
func TestMatchAppProperty(t *testing.T) {
	var match func(p, s string) bool
	match = func(p, s string) bool {
		switch {
		case p == "":
			return s == ""
		case p[0] == '*':
			return match(p[1:], s) || s != "" && match(p, s[1:])
		}
		return s != "" && s[0] == p[0] && match(p[1:], s[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "name")
		if got, want := config.MatchApp(pattern, name), match(pattern, name); got != want {
			t.Fatalf("%q, %q: got %t, want %t", pattern, name, got, want)
		}
	})
}

// The files that users copy load as they are.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %v, %v, want at least three", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, warnings, err := config.Load(config.Input{
			Path: filepath.Base(file), File: content, Environ: []string{"FAS_API_TOKEN=FlyV1 a", "FAS_PROMETHEUS_TOKEN=FlyV1 b"},
		})
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, warnings %v", file, err, warnings)
			continue
		}
		if err := s.RequireToken(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// The reference example names every setting that there is.
func TestReferenceIsComplete(t *testing.T) {
	content, err := os.ReadFile("../../examples/fly-autoscaler.yml")
	if err != nil {
		t.Fatal(err)
	}
	// An unknown key is answered with the list of all.
	problems := problemsOf(t, input{yaml: "~unknown~: 1\n"})
	_, known, ok := strings.Cut(problems[0].Hint, "known here: ")
	if !ok {
		t.Fatalf("got hint %q", problems[0].Hint)
	}
	for key := range strings.SplitSeq(known, ", ") {
		if key != "targets" && !strings.Contains(string(content), key) {
			t.Errorf("the example does not mention %s", key)
		}
	}
}

func FuzzLoad(f *testing.F) {
	const secret = "hunter2-secret"
	f.Add(everyKey)
	f.Add(ok)
	f.Add(everyRule)
	f.Add(strings.ReplaceAll(strings.ReplaceAll(everyRule, "{", "{'$SECRET': 1, "), ": 1", ": ${SECRET}"))
	for _, file := range []string{"fly-autoscaler.yml", "multi-app.yml", "targets.yml"} {
		content, err := os.ReadFile("../../examples/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content))
	}
	f.Add("app-name: ${SECRET}\norg: $SECRET\nregions: [$SECRET, '${SECRET}']\ninterval: ${SECRET}\nstarted-machine-count: 1 + ${SECRET}\nlisten: ${SECRET}\n")
	f.Add("targets:\n- &a {<<: *a, app-name: \"\\x41\", started-machine-count: |2-\n     1 +\n\n   q}\n")
	f.Add("metric-collectors: [{type: ${SECRET}, metric-name: '${SECRET}', address: '${SECRET}', query: $SECRET, token: $SECRET}]\nprocess-group: ${SECRET}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, secret) {
			t.Skip("the secret is in the file, and may be a key there")
		}
		settings, warnings, err := config.Load(config.Input{
			Path: "f.yml", File: []byte(text), Environ: []string{"SECRET=" + secret, "FAS_API_TOKEN=" + secret, "FAS_PROMETHEUS_TOKEN=" + secret},
		})
		if (settings == nil) != (err != nil) {
			t.Fatalf("got settings %v and error %v", settings, err)
		}
		shown := fmt.Sprint(warnings)
		if err != nil {
			shown += err.Error()
			problems, _ := errors.AsType[config.Problems](err)
			for _, p := range problems {
				if p.Message == "" || p.File == "" || strings.Contains(p.String(), "\n") {
					t.Fatalf("bad problem %#v", p)
				}
			}
		} else if len(settings.Targets) == 0 {
			t.Fatal("got settings without a target")
		}
		if strings.Contains(shown, secret) {
			t.Fatalf("the secret shows:\n%s", shown)
		}
	})
}
