package sim

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v4"
)

// DefaultGroup is the process group of Machines and loads that name none.
const DefaultGroup = "app"

// LoadSpec is one load in YAML. Exactly one field is set.
type LoadSpec struct {
	Queue *QueueSpec `yaml:"queue,omitempty"`
	Web   *WebSpec   `yaml:"web,omitempty"`
	Gauge *GaugeSpec `yaml:"gauge,omitempty"`
}

// LoadSpecs are all loads on one app.
type LoadSpecs []LoadSpec

// QueueSpec is a queue of jobs that Machines take and work on, see QueueLoad.
type QueueSpec struct {
	Metric   string            `yaml:"metric,omitempty"` // default queue_depth
	Labels   map[string]string `yaml:"labels,omitempty"`
	Arrivals ShapeSpec         `yaml:"arrivals"` // jobs per second
	Group    string            `yaml:"group,omitempty"`
	Slots    int               `yaml:"slots,omitempty"` // jobs at a time per Machine, default 1
	Service  ServiceSpec       `yaml:"service"`
}

// ServiceSpec is how long one job takes: always the mean, or log-normally
// distributed around it. A bare duration is short for the mean.
type ServiceSpec struct {
	Mean time.Duration `yaml:"mean"`
	SD   time.Duration `yaml:"sd,omitempty"`
}

// WebSpec is requests from all over the world, see WebLoad.
type WebSpec struct {
	Requests ShapeSpec          `yaml:"requests"` // per second, from all regions together
	Regions  map[string]float64 `yaml:"regions"`  // share of the requests per region where users are
	Group    string             `yaml:"group,omitempty"`
	Latency  time.Duration      `yaml:"latency,omitempty"`  // how long one request takes, default 100ms
	Capacity float64            `yaml:"capacity,omitempty"` // requests per second one Machine can answer, default no limit
	Errors   float64            `yaml:"errors,omitempty"`   // share of answered requests that get a 500
	Gauge    string             `yaml:"gauge,omitempty"`    // name of a gauge of requests in flight that each Machine exports itself
}

// GaugeSpec is one value that goes by a shape.
type GaugeSpec struct {
	Metric string            `yaml:"metric"`
	Labels map[string]string `yaml:"labels,omitempty"`
	Value  ShapeSpec         `yaml:"value"`
}

// UnmarshalYAML implements yaml.Unmarshaler. Unknown keys are errors.
func (s *LoadSpec) UnmarshalYAML(node *yaml.Node) error {
	type plain LoadSpec // without this method, which would call itself
	return node.Load((*plain)(s), yaml.WithKnownFields())
}

// UnmarshalYAML implements yaml.Unmarshaler. Unknown keys are errors.
func (s *ServiceSpec) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*s = ServiceSpec{}
		return node.Load(&s.Mean)
	}
	type plain ServiceSpec
	return node.Load((*plain)(s), yaml.WithKnownFields())
}

// Names that the exposition format allows, and labels that only the platform
// sets. Region, host and instance may be given too: they say which Machine
// exports the metric.
var (
	metricName     = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName      = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	platformLabels = []string{"app", "org"}
)

// Validate returns all that is wrong with the loads, as FieldErrors joined.
func (s LoadSpecs) Validate() error {
	var p problems
	owner := map[string]string{}
	for i := range s {
		path := fmt.Sprintf("[%d]", i)
		s[i].check(&p, path)
		for _, series := range s[i].series() {
			if other, taken := owner[series]; taken {
				p.add(path, "series %s is already exported by %s; give one of them other labels or another name", series, other)
				continue
			}
			owner[series] = path
		}
	}
	return p.err()
}

// Validate returns all that is wrong with the load, as FieldErrors joined.
func (s *LoadSpec) Validate() error {
	var p problems
	s.check(&p, "")
	return p.err()
}

func (s *LoadSpec) check(p *problems, path string) {
	n := 0
	if s.Queue != nil {
		n++
		s.Queue.check(p, path+".queue")
	}
	if s.Web != nil {
		n++
		s.Web.check(p, path+".web")
	}
	if s.Gauge != nil {
		n++
		s.Gauge.check(p, path+".gauge")
	}
	if n != 1 {
		p.add(path, "%d loads given, want exactly one of queue, web, gauge", n)
	}
}

// series names what the load exports for the app as a whole, to find two loads
// that would overwrite each other.
func (s *LoadSpec) series() []string {
	switch {
	case s.Queue != nil:
		set := labels.FromMap(s.Queue.Labels).String()
		metric := cmp.Or(s.Queue.Metric, defaultQueueMetric)
		return []string{metric + set, "jobs_done_total" + set}
	case s.Web != nil:
		return []string{"fly_edge_http_responses_count"}
	case s.Gauge != nil:
		return []string{s.Gauge.Metric + labels.FromMap(s.Gauge.Labels).String()}
	}
	return nil
}

func (s *QueueSpec) check(p *problems, path string) {
	checkSeries(p, path, cmp.Or(s.Metric, defaultQueueMetric), s.Labels)
	s.Arrivals.check(p, path+".arrivals", true)
	if s.Slots < 0 {
		p.add(path+".slots", "%d jobs at a time, want at least 1", s.Slots)
	}
	if s.Service.Mean <= 0 {
		p.add(path+".service.mean", "%v is not a length of time, want more than 0s", s.Service.Mean)
	}
	if s.Service.SD < 0 {
		p.add(path+".service.sd", "%v is negative", s.Service.SD)
	}
}

func (s *WebSpec) check(p *problems, path string) {
	s.Requests.check(p, path+".requests", true)
	if len(s.Regions) == 0 {
		p.add(path+".regions", "no region given, want a share per region where users are")
	}
	var total float64
	for _, region := range sortedKeys(s.Regions) {
		share := s.Regions[region]
		if _, known := regionCoordinates(region); !known {
			p.add(path+".regions."+region, "no such region")
		}
		if !(share >= 0) || math.IsInf(share, 0) {
			p.add(path+".regions."+region, "%v is not a share, want a finite number that is not negative", share)
		}
		total += share
	}
	if len(s.Regions) > 0 && total == 0 {
		p.add(path+".regions", "all shares are 0")
	}
	if s.Latency < 0 {
		p.add(path+".latency", "%v is negative", s.Latency)
	}
	if !(s.Capacity >= 0) || math.IsInf(s.Capacity, 0) {
		p.add(path+".capacity", "%v is not a rate, want a finite number that is not negative", s.Capacity)
	}
	if !(s.Errors >= 0 && s.Errors <= 1) {
		p.add(path+".errors", "%v is not a share, want 0 to 1", s.Errors)
	}
	if s.Gauge != "" && !metricName.MatchString(s.Gauge) {
		p.add(path+".gauge", "%q is not a metric name", s.Gauge)
	}
}

func (s *GaugeSpec) check(p *problems, path string) {
	checkSeries(p, path, s.Metric, s.Labels)
	s.Value.check(p, path+".value", false)
}

// CheckSeries returns what is wrong with a metric's name and its labels, as
// FieldErrors joined. Labels that the platform sets itself are refused: it
// would overwrite them.
func CheckSeries(metric string, set map[string]string) error {
	var p problems
	checkSeries(&p, "", metric, set)
	return p.err()
}

func checkSeries(p *problems, path, metric string, set map[string]string) {
	if !metricName.MatchString(metric) {
		p.add(path+".metric", "%q is not a metric name", metric)
	}
	for _, name := range sortedKeys(set) {
		at := path + ".labels." + name
		switch {
		case !labelName.MatchString(name) || strings.HasPrefix(name, "__"):
			p.add(at, "not a label name")
		case slices.Contains(platformLabels, name):
			p.add(at, "the platform sets this label itself")
		case set[name] == "":
			p.add(at, "an empty value is the same as no label")
		}
	}
}

// LoadMaker makes the loads of one app, beginning at start. All that it makes
// share the traces that were read for it.
type LoadMaker func(seed uint64, start time.Time) Loads

// New makes the loads of one app, beginning at start: Build for one app only.
func (s LoadSpecs) New(seed uint64, start time.Time, open OpenFunc) (Loads, error) {
	build, err := s.Build(open)
	if err != nil {
		return nil, err
	}
	return build(seed, start), nil
}

// Build prepares loads for any number of apps. Trace files are opened with
// open, which may be nil when there are none. It validates first.
func (s LoadSpecs) Build(open OpenFunc) (LoadMaker, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	makers := make([]func(rng *rand.Rand, start time.Time) Load, len(s))
	for i := range s {
		shape, err := s[i].shape().Build(open)
		if err != nil {
			return nil, fmt.Errorf("load %d: %w", i, err)
		}
		makers[i] = s[i].maker(shape)
	}
	return func(seed uint64, start time.Time) Loads {
		loads := make(Loads, len(makers))
		for i, maker := range makers {
			loads[i] = maker(newRand(seed, fmt.Sprintf("load %d", i)), start)
		}
		return loads
	}, nil
}

// shape returns the shape that drives a valid load.
func (s *LoadSpec) shape() *ShapeSpec {
	switch {
	case s.Queue != nil:
		return &s.Queue.Arrivals
	case s.Web != nil:
		return &s.Web.Requests
	}
	return &s.Gauge.Value
}

// maker returns what makes a valid load that is driven by shape.
func (s *LoadSpec) maker(shape Shape) func(rng *rand.Rand, start time.Time) Load {
	return func(rng *rand.Rand, start time.Time) Load {
		switch {
		case s.Queue != nil:
			return newQueueLoad(s.Queue, shape, rng, start)
		case s.Web != nil:
			return newWebLoad(s.Web, shape, rng, start)
		}
		return newGaugeLoad(s.Gauge, shape, start)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
