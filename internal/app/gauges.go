package app

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// gauges tells the last pass of each target when it is asked. Gauges that are
// kept take several times the memory of all else that is known of a target.
type gauges struct {
	last                          *passes
	target, current, value, known *prometheus.Desc
	created, started              *dto.LabelPair
}

func newGauges(last *passes) *gauges {
	desc := func(name, help, label string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"app", "process_group", label}, nil)
	}
	return &gauges{
		last:    last,
		target:  desc("fas_target_machine_count", "Machines wanted, by kind (created, started).", "kind"),
		current: desc("fas_current_machine_count", "Machines there, by kind (created, started). Started includes those that boot.", "kind"),
		value:   desc("fas_metric_value", "Value of a metric in the last pass; absent while it is unknown.", "metric"),
		known:   desc("fas_metric_known", "1 if the metric's value was known in the last pass, else 0.", "metric"),
		created: label("kind", "created"), started: label("kind", "started"),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{g.target, g.current, g.value, g.known} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector. A pass that came to no decision leaves
// the gauges of its target as they were.
func (g *gauges) Collect(metrics chan<- prometheus.Metric) {
	names := make(map[string]*dto.LabelPair)
	groups := make(map[scale.ProcessGroup]*dto.LabelPair)
	for _, kept := range g.last.matching("") {
		d := kept.decision
		if d == nil {
			continue
		}
		app, group := label("app", string(kept.app)), shared(groups, "process_group", kept.group)
		for _, c := range []struct {
			desc  *prometheus.Desc
			count scale.Count
		}{{g.target, d.want}, {g.current, d.have}} {
			metrics <- &gauge{c.desc, []*dto.LabelPair{app, g.created, group}, float64(c.count.Created)}
			metrics <- &gauge{c.desc, []*dto.LabelPair{app, g.started, group}, float64(c.count.Started)}
		}
		for _, s := range d.samples {
			labels := []*dto.LabelPair{app, shared(names, "metric", s.Metric), group}
			known := 0.0
			if s.Known() {
				known = 1
				metrics <- &gauge{g.value, labels, s.Value}
			}
			metrics <- &gauge{g.known, labels, known}
		}
	}
}

// gauge is one value with its labels, which many gauges share.
type gauge struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair // sorted by name
	value  float64
}

// Desc implements prometheus.Metric.
func (m *gauge) Desc() *prometheus.Desc { return m.desc }

// Write implements prometheus.Metric.
func (m *gauge) Write(out *dto.Metric) error {
	out.Label, out.Gauge = m.labels, &dto.Gauge{Value: &m.value}
	return nil
}

func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// shared returns the label with the value, made once.
func shared[S ~string](made map[S]*dto.LabelPair, name string, value S) *dto.LabelPair {
	pair, ok := made[value]
	if !ok {
		pair = label(name, string(value))
		made[value] = pair
	}
	return pair
}
