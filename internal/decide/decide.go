package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Decide says what is wanted of the target that p governs. The samples are
// those of the target's metrics, in any order; a metric without a sample is
// unknown. The decision may share them, so they must not be changed any more. It
// returns the memory for the next pass.
func Decide(s scale.Snapshot, samples []scale.Sample, p *policy.Policy, mem Memory, now time.Time) (scale.Decision, Memory) {
	mem = mem.watchCreated(s, now).remembered(p, now)
	mem.Breaker = mem.Breaker.judge(p.Limits.Breaker, now)
	mem.Trouble = expire(mem.Trouble, troubleFor, now)
	mem.Unanswered = expire(notLater(mem.Unanswered, now), unansweredFor, now)
	members, lost := inventory(s, p.Group, mem, now)
	mem.Lost = lost
	counts, have := census(members, lost, now)

	d := scale.Decision{
		App: s.App, Group: p.Group, At: now,
		Samples: sortedSamples(samples),
		Counts:  counts, Have: have, Want: have,
		Inventory: members,
		Steps:     make([]scale.Step, 0, 4),
	}
	d.Steps = append(d.Steps, scale.Step{Stage: scale.StageInventory, In: have, Out: have, Reason: inventoryReason(members, counts)})

	mem.Demand = mem.Demand.read(p, d.Samples, now)
	env := expr.Env{Metrics: known(d.Samples), Counts: expr.Counts(counts), Now: now}
	if history := mem.Demand.History; history != nil {
		env.History = func(metric string) []scale.Point { return history[metric] }
	}
	d.Limits = limits(p, d.Samples, env)
	d.Within = d.Limits
	f := inForce(p, &mem, d.Have, now)
	targets(&d, follow(&d, p, f, env, &mem, now))
	demanded := d.Within
	schedule(&d, p, f)
	tolerance(&d, p, f, demanded)
	windows(&d, p, f, demanded, &mem, now)
	couple(&d, p)
	bounds(&d)
	rate(&d, p, f, mem, now)
	safety(&d, s, p, f, mem, now)
	zero(&d, p, mem, now)
	if d.Want != d.Have || marked(d.Inventory) {
		d = supplied(d, s, p)
	}
	if d.Picks.Create > 0 {
		d.Picks.Names = mem.names()
	}
	return d, mem
}

// supplied returns the decision after supply. It is a function of its own because
// supply keeps the decision on the heap, which a pass that is quiet does without.
func supplied(d scale.Decision, s scale.Snapshot, p *policy.Policy) scale.Decision {
	supply(&d, s, p)
	return d
}

// step moves the decision to want and says why. Nothing is recorded for a stage
// that neither changes nor explains anything.
func step(d *scale.Decision, stage string, want scale.Count, reason string) {
	if want == d.Want && reason == "" {
		return
	}
	d.Steps = append(d.Steps, scale.Step{Stage: stage, In: d.Want, Out: want, Reason: reason})
	d.Want = want
}

// sortedSamples returns the samples by metric. They are not copied when they are
// in that order already, as a single one is.
func sortedSamples(samples []scale.Sample) []scale.Sample {
	byMetric := func(a, b scale.Sample) int { return strings.Compare(a.Metric, b.Metric) }
	if slices.IsSortedFunc(samples, byMetric) {
		return slices.Clip(samples)
	}
	out := slices.Clone(samples)
	slices.SortFunc(out, byMetric)
	return out
}

// bounds applies what can never be. Without a last Machine there would be
// nothing to clone the next one from; and more cannot run than exist.
func bounds(d *scale.Decision) {
	want := d.Want
	var reasons []string
	if want.Created < 1 && d.Have.Created > 0 {
		want.Created = 1
		reasons = append(reasons, "the last Machine is kept: the next one is cloned from it")
	}
	// What runs already is not stopped for this: it goes with its Machine, if that
	// can be destroyed.
	if limit := max(want.Created, d.Have.Started); want.Started > limit {
		reasons = append(reasons, fmt.Sprintf("only %d Machines exist", limit))
		want.Started = limit
	}
	step(d, scale.StageBounds, want, strings.Join(reasons, "; "))
}
