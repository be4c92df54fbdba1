package decide

import (
	"fmt"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// slack keeps the noise of floating point from being taken for demand.
	slack = 1e-9
	// smallFleet is up to how many Machines a removal is worth it only for a whole
	// Machine, as a share of so few is less than one.
	smallFleet = 10
)

// tolerance keeps what there is when the demand, which demanded tells before the
// schedules, is close to it.
func tolerance(d *scale.Decision, p *policy.Policy, f force, demanded scale.Limits) {
	t := p.Behavior.Tolerance
	if t == (policy.Tolerance{}) {
		return
	}
	told, kept := d.Limits, false
	for _, l := range [...]struct {
		limit *scale.Limit
		told  bool // what is not the expression's is exact
		have  int
		close func(l scale.Limit, have int, t policy.Tolerance) bool
	}{
		{&demanded.MinCreated, told.MinCreated.Known, d.Have.Created, closeAbove},
		{&demanded.MaxCreated, told.MaxCreated.Known, d.Have.Created, closeBelow},
		{&demanded.MinStarted, told.MinStarted.Known, d.Have.Started, closeAbove},
		{&demanded.MaxStarted, told.MaxStarted.Known, d.Have.Started, closeBelow},
	} {
		if l.told && l.close(*l.limit, l.have, t) {
			l.limit.Value, kept = l.have, true
		}
	}
	if !kept {
		return
	}
	d.Within = f.apply(demanded, d.Limits, p)
	want := moved(d)
	if want == d.Want {
		return
	}
	var reasons []string
	if want.Created != d.Want.Created {
		reasons = append(reasons, fmt.Sprintf("%d created is close enough", want.Created))
	}
	if want.Started != d.Want.Started {
		reasons = append(reasons, fmt.Sprintf("%d is close enough", want.Started))
	}
	step(d, scale.StageTolerance, want, strings.Join(reasons, ", "))
}

// closeAbove reports whether a least asks for hardly more than what there is.
func closeAbove(least scale.Limit, have int, t policy.Tolerance) bool {
	return least.Value > have && least.Demand <= float64(have)*(1+t.Up)+slack
}

// closeBelow reports whether a most allows hardly less than what there is.
func closeBelow(most scale.Limit, have int, t policy.Tolerance) bool {
	n := float64(have)
	return most.Value < have && t.Down > 0 &&
		(most.Demand >= n*(1-t.Down)-slack || have <= smallFleet && most.Demand > n-1+slack)
}
