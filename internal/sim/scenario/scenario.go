package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// Scenario is a script.
type Scenario struct {
	// About says what is shown.
	About string `yaml:"about"`
	// Start is the first moment; default 2026-03-02 12:00 UTC, a Monday.
	Start time.Time `yaml:"start"`
	// Settings are those of one target. app-name may be left out, and so may
	// metric-collectors: then the metrics are those of the timeline.
	Settings map[string]any `yaml:"settings"`
	// Machines are those there are. They are m1, m2 and so on in the timeline, and the
	// ones that are created go on from there.
	Machines []sim.MachineSpec `yaml:"machines"`
	// Timings are how long the platform takes for things; default no time.
	Timings sim.Timings `yaml:"timings"`
	// Timeline is in order of time.
	Timeline []Step `yaml:"timeline"`

	settings *config.Settings
}

// Step is something that happens, or is expected, at a time after the start. Times are
// those of passes, which are an interval of the settings apart.
type Step struct {
	At sim.Duration `yaml:"at"`
	// Metrics are what the metrics say from the pass at this time on.
	Metrics map[string]Value `yaml:"metrics"`
	// Capacity bounds how many Machines a region takes, from this time on.
	Capacity *sim.Capacity `yaml:"capacity"`
	// Forget has what is remembered between passes lost, as by a restart without a store.
	Forget bool `yaml:"forget"`

	// Expect is what the pass of this time, and of those up to Until, leads to.
	Expect *Expect      `yaml:"expect"`
	Until  sim.Duration `yaml:"until"`
}

// Value is what a metric says: a number, a number for each Machine, or one of the words
// "unknown", for a server that does not answer, and "empty".
type Value struct {
	Number   float64
	Machines map[string]float64 // by m1, m2, …
	Word     string
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (v *Value) UnmarshalYAML(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.MappingNode:
		return n.Decode(&v.Machines)
	case n.Value == "unknown", n.Value == "empty":
		v.Word = n.Value
		return nil
	}
	if err := n.Decode(&v.Number); err != nil {
		return fmt.Errorf("line %d: %q is not a number, unknown, empty, or numbers of Machines", n.Line, n.Value)
	}
	return nil
}

// Expect is what is true a second after a pass. What is left out is not looked at.
type Expect struct {
	Created   *int `yaml:"created"`
	Started   *int `yaml:"started"` // with those that boot
	Starting  *int `yaml:"starting"`
	Stopped   *int `yaml:"stopped"`
	Suspended *int `yaml:"suspended"`
	Draining  *int `yaml:"draining"` // cordoned by the autoscaler
	// Machines are the states of some, and "draining" and "gone".
	Machines map[string]string `yaml:"machines"`
	// Says is a text that the decision's line holds, and Stage a stage that changed it.
	Says  string `yaml:"says"`
	Stage string `yaml:"stage"`
}

// Parse reads a script. Every mistake in it, that of settings too, is told at once.
func Parse(text []byte) (*Scenario, error) {
	s := &Scenario{Start: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	if err := yaml.Load(text, s, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	if s.About == "" {
		return nil, errors.New("read scenario: about is required")
	}
	if len(s.Timeline) == 0 {
		return nil, errors.New("read scenario: the timeline is empty")
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("read scenario: settings: %w", err)
	}
	return s, s.check()
}

// load makes whole settings of those in the script, and reads them.
func (s *Scenario) load() error {
	all := maps.Clone(s.Settings)
	if all == nil {
		all = map[string]any{}
	}
	if _, ok := all["app-name"]; !ok {
		all["app-name"] = "my-app"
	}
	if _, ok := all["metric-collectors"]; !ok {
		if list := s.collectors(); len(list) > 0 {
			all["metric-collectors"] = list
		}
	}
	text, err := yaml.Dump(all)
	if err != nil {
		return err
	}
	s.settings, _, err = config.Load(config.Input{Path: "settings", File: text})
	if err != nil {
		return err
	}
	if n := len(s.settings.Targets); n != 1 {
		return fmt.Errorf("there are %d targets instead of one", n)
	}
	if t := s.settings.Targets[0]; t.Wildcard() {
		return fmt.Errorf("app-name is %q, and not that of one app", t.AppPattern)
	}
	return nil
}

// collectors declares the metrics of the timeline.
func (s *Scenario) collectors() []any {
	byMachine := map[string]bool{}
	for _, step := range s.Timeline {
		for name, value := range step.Metrics {
			byMachine[name] = byMachine[name] || value.Machines != nil
		}
	}
	var out []any
	for _, name := range slices.Sorted(maps.Keys(byMachine)) {
		one := map[string]any{"type": "prometheus", "metric-name": name, "address": "http://scenario", "query": name}
		if byMachine[name] {
			one["by-machine"] = "instance"
		}
		out = append(out, one)
	}
	return out
}

// check looks for steps that could not happen.
func (s *Scenario) check() error {
	interval, last := s.settings.Interval, time.Duration(0)
	known := map[string]bool{}
	for _, c := range s.settings.Targets[0].Collectors {
		known[c.MetricName] = true
	}
	var errs []error
	for i, step := range s.Timeline {
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("read scenario: timeline[%d], at %s: %s", i, time.Duration(step.At), fmt.Sprintf(format, args...)))
		}
		at, until := time.Duration(step.At), time.Duration(step.Until)
		if at%interval != 0 || until%interval != 0 {
			fail("there are passes every %s only", interval)
		}
		if at < last {
			fail("it comes after %s", last)
		}
		last = max(last, at)
		if until != 0 && (until < at || step.Expect == nil) {
			fail("until goes with an expectation, and is not before at")
		}
		if step.Metrics == nil && step.Capacity == nil && step.Expect == nil && !step.Forget {
			fail("nothing happens")
		}
		for _, name := range slices.Sorted(maps.Keys(step.Metrics)) {
			if !known[name] {
				fail("the settings have no metric %s", name)
			}
		}
	}
	return errors.Join(errs...)
}

// end is the time of the last pass.
func (s *Scenario) end() time.Duration {
	var end time.Duration
	for _, step := range s.Timeline {
		end = max(end, time.Duration(step.At), time.Duration(step.Until))
	}
	return end
}

// app is the app that is scaled.
func (s *Scenario) app() scale.App { return scale.App(s.settings.Targets[0].AppPattern) }

// expected returns what is expected of the pass at a time.
func (s *Scenario) expected(at time.Duration) []*Expect {
	var out []*Expect
	for _, step := range s.Timeline {
		from, to := time.Duration(step.At), time.Duration(step.Until)
		if step.Expect != nil && from <= at && at <= cmp.Or(to, from) {
			out = append(out, step.Expect)
		}
	}
	return out
}
