package sim

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// GaugeLoad is one value that goes by a shape, whatever the Machines do: a
// metric of the outside world. It keeps no Machine busy.
type GaugeLoad struct {
	name   string
	labels labels.Labels
	value  Shape
	start  time.Time
}

func newGaugeLoad(spec *GaugeSpec, value Shape, start time.Time) *GaugeLoad {
	return &GaugeLoad{name: spec.Metric, labels: labels.FromMap(spec.Labels), value: value, start: start}
}

// Step implements Load. A gauge has nothing to move on: its value follows from
// the time alone.
func (g *GaugeLoad) Step(time.Time, []LoadMachine) {}

// Series implements Load.
func (g *GaugeLoad) Series(now time.Time) []Sample {
	return []Sample{{Name: g.name, Labels: g.labels, Value: g.value(now.Sub(g.start))}}
}

// Busy implements Load.
func (g *GaugeLoad) Busy(string) bool { return false }
