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
	created := tolerate(&demanded.MinCreated, &demanded.MaxCreated, d.Have.Created, t)
	started := tolerate(&demanded.MinStarted, &demanded.MaxStarted, d.Have.Started, t)
	if !created && !started {
		return
	}
	d.Within = f.apply(demanded, p)
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

// tolerate moves limits to what there is when they are close to it, and reports
// whether any was.
func tolerate(least, most *scale.Limit, have int, t policy.Tolerance) bool {
	close, n := false, float64(have)
	if least.Known && least.Value > have && least.Demand <= n*(1+t.Up)+slack {
		least.Value, close = have, true
	}
	if most.Known && most.Value < have && t.Down > 0 &&
		(most.Demand >= n*(1-t.Down)-slack || have <= smallFleet && most.Demand > n-1+slack) {
		most.Value, close = have, true
	}
	return close
}
