package elasticity

import (
	"fmt"
	"math"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Web is Machines that serve requests, each up to Capacity a second. What is beyond
// that is not served, and does not come again.
type Web struct {
	Trace    Trace
	Capacity float64
	Machines int // that exist, all but one of them stopped at first
	Boot     time.Duration
	// Period is the time between two passes. They see the metric load, the requests a
	// second as the mean over Window that ended Lag ago.
	Period, Window, Lag time.Duration
	// Skip is how long nothing is measured.
	Skip time.Duration
}

// Service is what came of a run.
type Service struct {
	Unserved float64 // share of the requests
	Cost     float64 // time of Machines that is paid for a time of those that are needed
	Actions  float64 // passes a day that changed something
}

// String tells the result in one line.
func (s Service) String() string {
	return fmt.Sprintf("unserved %.3f %%, cost %.3f, %.0f actions a day", 100*s.Unserved, s.Cost, s.Actions)
}

// Run plays the trace under the policy.
func (w Web) Run(p *policy.Policy) (Service, error) {
	load := w.Trace.perSecond()
	sum := make([]float64, len(load)+1)
	for i, n := range load {
		sum[i+1] = sum[i] + n
	}
	second := func(d time.Duration) int { return int(d / time.Second) }
	f := newFleet(w.Trace.Began, w.Machines, w.Boot)
	f.turn(f.workers[0], scale.StateStarted, 0)
	var (
		memory                      decide.Memory
		requests, unserved, needed  float64
		ready, actions, period, lag = 1, 0, second(w.Period), second(w.Lag)
		paid                        time.Duration
	)
	for i := range load {
		now := time.Duration(i) * time.Second
		for {
			m, due := f.next()
			if due > now {
				break
			}
			f.end(m, due)
			ready = f.ready()
		}
		if i == second(w.Skip) {
			paid = f.cost(now)
		}
		if to := i - lag; i%period == 0 && to > 0 {
			from := max(0, to-second(w.Window))
			at := f.began.Add(now)
			samples := []scale.Sample{{Metric: "load", Value: (sum[to] - sum[from]) / float64(to-from), At: at.Add(-w.Lag), Quality: scale.Fresh}}
			s := f.snapshot(now)
			d, next := decide.Decide(s, samples, p, memory, at)
			outcomes, err := f.apply(plan.Build(s, d, p), now)
			if err != nil {
				return Service{}, fmt.Errorf("at %s: %w\n%s", at, err, d.Line())
			}
			memory = decide.Observe(next, outcomes, at)
			ready = f.ready()
			if i >= second(w.Skip) && d.Want != d.Have {
				actions++
			}
		}
		if i < second(w.Skip) {
			continue
		}
		requests += load[i]
		unserved += max(0, load[i]-float64(ready)*w.Capacity)
		needed += max(1, math.Ceil(load[i]/w.Capacity-1e-9))
	}
	span := w.Trace.Span()
	return Service{
		Unserved: unserved / requests,
		Cost:     (f.cost(span) - paid).Seconds() / needed,
		Actions:  float64(actions) / ((span - w.Skip).Hours() / 24),
	}, nil
}

// perSecond returns the rate of each second: linear between the middles of intervals.
func (t Trace) perSecond() []float64 {
	step := int(t.Step / time.Second)
	out := make([]float64, len(t.Counts)*step)
	rate := func(i int) float64 { return float64(t.Counts[min(max(i, 0), len(t.Counts)-1)]) / float64(step) }
	for i := range out {
		at := (float64(i)+0.5)/float64(step) - 0.5
		left := math.Floor(at)
		out[i] = rate(int(left)) + (at-left)*(rate(int(left)+1)-rate(int(left)))
	}
	return out
}
