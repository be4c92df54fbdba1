package config

import (
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
)

// Rules are how a target follows its counts, how far it may go, and how Machines are
// taken from service. The zero value follows the counts at once.
type Rules struct {
	Profile   string // one of Profiles, or empty
	Behavior  policy.Behavior
	Loss      policy.Loss
	Schedules []policy.Schedule
	Limits    policy.Limits
	Zero      policy.Zero
	ScaleIn   policy.ScaleIn
}

// Policy returns the target's settings as they are decided by. The age is that from
// which on a list of Machines is too old to act upon; 0 for none.
func (t Target) Policy(maxAge time.Duration) *policy.Policy {
	return &policy.Policy{
		Group: t.Group, Regions: t.Regions, Launch: t.Launch,
		MinCreated: t.MinCreated, MaxCreated: t.MaxCreated,
		MinStarted: t.MinStarted, MaxStarted: t.MaxStarted,
		Behavior: t.Behavior, Loss: t.Loss, Schedules: t.Schedules,
		Limits: t.Limits, Zero: t.Zero, ScaleIn: t.ScaleIn,
		MaxAge: maxAge,
	}
}

// Profiles are the names of the sets of rules to begin with.
func Profiles() []string { return []string{"web", "queue", "batch"} }

// Defaults of settings that are there only when something else is.
const (
	defaultFactor    = 2
	defaultHold      = time.Minute
	defaultLossAfter = 15 * time.Minute
	defaultIdleAfter = 5 * time.Minute
	// queueDrain is how long a worker may finish its job, where a metric tells when it
	// has; without one it would only stay longer.
	queueDrain = 5 * time.Minute
)

var (
	defaultBreaker = policy.Breaker{Failures: 3, Within: 5 * time.Minute, Pause: time.Minute, MaxPause: time.Hour}
	defaultDestroy = policy.DestroyBudget{Percent: 10, Period: 10 * time.Minute}
)

// profileRules returns the rules of a profile, which settings change one by one.
func profileRules(profile string) Rules {
	if profile == "" {
		return Rules{}
	}
	const quarter, minute = 15 * time.Second, time.Minute
	out := Rules{
		Profile: profile,
		Behavior: policy.Behavior{
			Up: policy.Direction{Rates: []policy.Rate{{Percent: 100, Period: quarter}, {Count: 4, Period: quarter}}},
			Down: policy.Direction{
				Window: 5 * minute,
				Rates:  []policy.Rate{{Percent: 100, Period: minute}},
			},
		},
		Limits:  policy.Limits{Booting: 0.5, Breaker: defaultBreaker, Destroy: defaultDestroy},
		Zero:    policy.Zero{Gated: true, IdleAfter: defaultIdleAfter, First: 1},
		ScaleIn: policy.ScaleIn{MinLifetime: minute},
	}
	switch profile {
	case "web":
		out.Behavior.Tolerance = policy.Tolerance{Up: 0.05, Down: 0.1}
		out.Behavior.Down.Rates = []policy.Rate{{Percent: 20, Period: minute}, {Count: 1, Period: minute}}
		out.ScaleIn.Mode, out.ScaleIn.Drain = policy.IdleSuspend, 30*time.Second
	case "queue":
		// A job that waits is one job's work: what boots for it asks for no more, so that
		// there is nothing to grow into step by step, and each step would have jobs wait.
		out.Behavior.Up.Rates, out.Limits.Booting = nil, 0
		out.Behavior.Down.Window = 30 * time.Second
		out.Zero.IdleAfter = 2 * minute
	}
	return out
}
