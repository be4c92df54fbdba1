package scenario_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/scenario"
)

// folder has the scripts that ship with the product.
const folder = "../../../testdata/scenarios"

func files(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(folder, "*.yml"))
	if err != nil || len(list) < 10 {
		t.Fatalf("found %v, %v", list, err)
	}
	return list
}

func parse(t *testing.T, file string) *scenario.Scenario {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestScenarios plays every script.
func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, file := range files(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			t.Parallel()
			s := parse(t, file)
			report, err := s.Run(t.Context())
			if err != nil {
				t.Fatalf("%v\n%s", err, report)
			}
			if report.Failures > 0 {
				t.Errorf("%s\n%s", s.About, report)
			}
			again, err := s.Run(t.Context())
			if err != nil || again.String() != report.String() {
				t.Errorf("played again it is another: %v\n%s", err, again)
			}
		})
	}
}

// TestEveryRuleHasAScenario finds each key of the table of rules, and each profile, in
// the settings of some script.
func TestEveryRuleHasAScenario(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		used[path] = true
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				walk(strings.TrimPrefix(path+"."+key, "."), value)
			}
		case []any:
			for _, value := range v {
				walk(path, value)
			}
		}
	}
	for _, file := range files(t) {
		s := parse(t, file)
		walk("", s.Settings)
		if profile, ok := s.Settings["profile"].(string); ok {
			used["profile "+profile] = true
		}
	}
	docs, err := os.ReadFile("../../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(docs), "### Rules")
	table, _, _ = strings.Cut(table, "<!-- end")
	want := []string{
		"profile web", "profile queue", "profile batch", "metric-collectors.on-empty",
		"schedules.days", "schedules.from", "schedules.to", "schedules.cron", "schedules.for", "schedules.timezone",
		"schedules.min", "schedules.max", "schedules.hard",
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z.-]+)` \\|").FindAllStringSubmatch(table, -1) {
		want = append(want, row[1])
	}
	if len(want) < 40 {
		t.Fatalf("found only %v in the table", want)
	}
	for _, key := range want {
		if !used[key] {
			t.Errorf("no scenario shows %s", key)
		}
	}
}

// TestFailures has the runner see what is not as expected.
func TestFailures(t *testing.T) {
	t.Parallel()
	s, err := scenario.Parse([]byte(`
about: expectations that are not met
settings: {started-machine-count: queue}
machines: [{count: 3}]
timeline:
  - {at: 0s, metrics: {queue: 1}}
  - {at: 0s, expect: {started: 3, created: 3, stopped: 2, machines: {m1: stopped, m2: started, m9: gone}, says: nonsense, stage: rate}}
  - {at: 30s, until: 45s, expect: {started: 2}}
`))
	if err != nil {
		t.Fatal(err)
	}
	report, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := report.String()
	want := []string{"started: want 3, got 1", `says "nonsense"`, "the stage rate", "30s  queue 1", "started: want 2, got 1", "stop m1"}
	for _, text := range want {
		if !strings.Contains(got, text) {
			t.Errorf("the report does not say %q", text)
		}
	}
	if strings.Contains(got, "created: want") || strings.Contains(got, "stopped: want") || strings.Contains(got, "m9") || report.Failures < 5 {
		t.Errorf("%d failures", report.Failures)
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	const rest = "\nabout: x\nsettings: {started-machine-count: q}\n"
	for text, want := range map[string]string{
		"abuot: x":                           "field abuot not found",
		"settings: {}\ntimeline: [{at: 0s}]": "about is required",
		"about: x":                           "the timeline is empty",
		"timeline: [{at: 1s, metrics: {q: 1}}]" + rest:                                                                "timeline[0], at 1s: there are passes every 15s only",
		"timeline: [{at: 15s, metrics: {q: 1}}, {at: 0s, forget: true}]" + rest:                                       "timeline[1], at 0s: it comes after 15s",
		"timeline: [{at: 15s, metrics: {q: x}}]" + rest:                                                               `line 1: "x" is not a number, unknown, empty, or numbers of Machines`,
		"timeline: [{at: 0s, metrics: {q: 1}}, {at: 0s}]" + rest:                                                      "timeline[1], at 0s: nothing happens",
		"timeline: [{at: 0s, metrics: {q: 1}, until: 15s}]" + rest:                                                    "until goes with an expectation",
		"timeline: [{at: 0s, metrics: {p: 1}}]" + rest:                                                                `unknown name "q", did you mean p?`,
		"about: x\nsettings: {app-name: 'a-*', org: o, started-machine-count: 1}\ntimeline: [{at: 0s, forget: true}]": "not that of one app",
	} {
		_, err := scenario.Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// TestScenariosNeedTheirRules plays every script without one section of its rules, which
// has to be noticed: else it would not show that the section does anything.
func TestScenariosNeedTheirRules(t *testing.T) {
	t.Parallel()
	sections := []string{"profile", "behavior", "on-loss", "schedules", "limits", "scale-to-zero", "scale-in"}
	tried := 0
	for _, file := range files(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range sections {
			var all map[string]any
			if err := yaml.Load(text, &all); err != nil {
				t.Fatal(err)
			}
			settings, _ := all["settings"].(map[string]any)
			if settings[section] == nil {
				continue
			}
			delete(settings, section)
			without, err := yaml.Dump(all)
			if err != nil {
				t.Fatal(err)
			}
			s, err := scenario.Parse(without)
			if err != nil {
				t.Fatalf("%s without %s: %v", file, section, err)
			}
			report, err := s.Run(t.Context())
			if err != nil {
				t.Fatalf("%s without %s: %v", file, section, err)
			}
			if report.Failures == 0 {
				t.Errorf("%s passes without %s\n%s", file, section, report)
			}
			tried++
		}
	}
	if tried < 30 {
		t.Errorf("only %d sections were left out", tried)
	}
}
