package flysim

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// Scenario is a world to begin with, as a YAML file describes it. A key that is
// left out has its default; a key that does not exist is an error.
//
//	seed: 7                      # random choices; default 1
//	latency: 30ms                # added to every answer
//	rate-limits: true            # default true
//	page-rows: 1000              # of the org-wide list, at most
//	speed: 1                     # seconds of the world per second
//	tokens: [secret]             # accepted; default any
//	timings:                     # sim.Timings; each {min, max}
//	  boot: {min: 1s, max: 3s}
//	metrics:                     # sim.SeriesOptions
//	  {interval: 15s, retention: 1h, no-stale-markers: false}
//	orgs:
//	  - {slug: acme, name: Acme Inc., personal: true}
//	apps:
//	  - app: web                 # or, with count: 3, web-1 to web-3
//	    org: acme                # default personal
//	    release: {version: 3, status: complete}
//	    machines:
//	      - {count: 2, region: ams, state: started, group: app}
//	      - {count: 4, region: fra, state: stopped, config: {image: "registry.fly.io/web:3"}}
//	    load:                    # sim.LoadSpecs
//	      - queue: {arrivals: {constant: 5}, service: 2s}
//	capacity:
//	  - {region: fra, max: 10}   # sim.Capacity
//	faults:
//	  - {kind: error, op: machine_create, status: 502, applied: true, probability: 0.1}
type Scenario struct {
	Seed       *uint64           `yaml:"seed"`
	Latency    sim.Duration      `yaml:"latency"`
	RateLimits *bool             `yaml:"rate-limits"`
	PageRows   int               `yaml:"page-rows"`
	Speed      float64           `yaml:"speed"`
	Tokens     []string          `yaml:"tokens"`
	Timings    *sim.Timings      `yaml:"timings"`
	Metrics    sim.SeriesOptions `yaml:"metrics"`
	Orgs       []scenarioOrg     `yaml:"orgs"`
	Apps       []scenarioApp     `yaml:"apps"`
	Capacity   []sim.Capacity    `yaml:"capacity"`
	Faults     []sim.Fault       `yaml:"faults"`
}

type scenarioOrg struct {
	Slug     string `yaml:"slug"`
	Name     string `yaml:"name"`
	Personal bool   `yaml:"personal"`
}

type scenarioApp struct {
	Org      string            `yaml:"org"`
	App      string            `yaml:"app"`
	Role     string            `yaml:"role"`
	Count    int               `yaml:"count"`
	Release  *sim.ReleaseSpec  `yaml:"release"`
	Machines []scenarioMachine `yaml:"machines"`
	Load     sim.LoadSpecs     `yaml:"load"`
}

type scenarioMachine struct {
	sim.MachineSpec `yaml:",inline"`
	Config          map[string]any `yaml:"config"`
}

// ParseScenario reads a scenario.
func ParseScenario(text []byte) (*Scenario, error) {
	// Decoding merges into what is there, so a file may set some timings only.
	timings := sim.DefaultTimings()
	s := Scenario{Timings: &timings}
	if err := yaml.Load(text, &s, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	if s.Timings == nil {
		s.Timings = &timings
	}
	for i, a := range s.Apps {
		if a.App == "" {
			return nil, fmt.Errorf("read scenario: apps[%d]: app is required", i)
		}
		if a.Count < 0 {
			return nil, fmt.Errorf("read scenario: apps[%d]: count must not be negative", i)
		}
		if err := a.Load.Validate(); err != nil {
			return nil, fmt.Errorf("read scenario: app %q: load: %w", a.App, err)
		}
	}
	if err := s.Metrics.Validate(); err != nil {
		return nil, fmt.Errorf("read scenario: metrics: %w", err)
	}
	if s.PageRows < 0 {
		return nil, errors.New("read scenario: page-rows must not be negative")
	}
	if s.Speed < 0 {
		return nil, errors.New("read scenario: speed must not be negative")
	}
	return &s, nil
}

// World makes the world that the scenario describes, beginning at start. open
// reads the traces that loads name; it may be nil when none does.
func (s *Scenario) World(start time.Time, open sim.OpenFunc) (*sim.World, error) {
	seed := uint64(1)
	if s.Seed != nil {
		seed = *s.Seed
	}
	w := sim.New(sim.Config{Seed: seed, Start: start, Timings: s.Timings, ScrapeInterval: s.Metrics.Interval})
	for _, o := range s.Orgs {
		if err := w.AddOrg(o.Slug, o.Name, o.Personal); err != nil {
			return nil, err
		}
	}
	for _, a := range s.Apps {
		spec, err := a.spec()
		if err != nil {
			return nil, err
		}
		loads, err := a.Load.Build(open) // once, however many apps
		if err != nil {
			return nil, fmt.Errorf("load on app %q: %w", a.App, err)
		}
		err = appEntry{spec, a.Count}.each(func(spec sim.AppSpec) error {
			if _, err := w.AddApp(sim.Call{Request: "scenario"}, spec); err != nil {
				return err
			}
			return addLoads(w, spec.App, loads(sim.AppSeed(seed, spec.App), start))
		})
		if err != nil {
			return nil, err
		}
	}
	for _, c := range s.Capacity {
		if err := w.SetCapacity(c); err != nil {
			return nil, fmt.Errorf("limit capacity: %w", err)
		}
	}
	for i, f := range s.Faults {
		if _, err := w.OrderFault(f); err != nil {
			return nil, fmt.Errorf("order faults[%d]: %w", i, err)
		}
	}
	return w, nil
}

func addLoads(w *sim.World, app string, loads sim.Loads) error {
	for _, l := range loads {
		if err := w.AddLoad(app, l); err != nil {
			return fmt.Errorf("load on app %q: %w", app, err)
		}
	}
	return nil
}

func (a scenarioApp) spec() (sim.AppSpec, error) {
	spec := sim.AppSpec{Org: a.Org, App: a.App, Role: a.Role, Release: a.Release}
	for i, m := range a.Machines {
		if m.Config != nil {
			raw, err := json.Marshal(m.Config)
			if err != nil {
				return spec, fmt.Errorf("app %q: machines[%d]: config: %w", a.App, i, err)
			}
			m.MachineSpec.Config = raw
		}
		spec.Machines = append(spec.Machines, m.MachineSpec)
	}
	return spec, nil
}

// Options returns the options that the scenario asks for.
func (s *Scenario) Options() Options {
	return Options{
		Speed: s.Speed, Latency: time.Duration(s.Latency), Tokens: s.Tokens,
		RateLimits: s.RateLimits == nil || *s.RateLimits, PageRows: s.PageRows, Metrics: s.Metrics,
	}
}
