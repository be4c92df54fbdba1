package elasticity_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/test/elasticity"
)

// site is a recorded load and what one Machine serves of it.
type site struct {
	name     string
	trace    func() (elasticity.Trace, error)
	capacity float64
}

var sites = []site{
	{"site", elasticity.Site, 1.0 / 3},
	{"balancer", elasticity.Balancer, 1.0 / 15},
}

// policy returns that of the site's settings: Machines are to be used to 70 %.
func (s site) policy(t *testing.T, yaml string) *policy.Policy {
	t.Helper()
	yaml = fmt.Sprintf("app-name: site\nstarted-machine-count: clamp(ceil(load / %g), 1, 100)\n%s"+
		"metric-collectors: [{type: prometheus, metric-name: load, address: \"http://localhost\", query: load}]\n", 0.7*s.capacity, yaml)
	settings, _, err := config.Load(config.Input{File: []byte(yaml)})
	if err != nil {
		t.Fatal(err)
	}
	return settings.Targets[0].Policy(30 * time.Second)
}

// play returns what came of the site's load: of as many days as are asked for, after
// three that are not measured, or else of eighteen hours after six.
func (s site) play(t *testing.T, name string, boot time.Duration, yaml string) elasticity.Service {
	t.Helper()
	trace, err := s.trace()
	if err != nil {
		t.Fatal(err)
	}
	w := elasticity.Web{Capacity: s.capacity, Machines: 100, Boot: boot, Period: 15 * time.Second, Window: time.Minute, Lag: 30 * time.Second}
	w.Trace, w.Skip = trace.Days(0, 1), 6*time.Hour
	if *days > 0 {
		w.Trace, w.Skip = trace.Days(0, *days+3), 72*time.Hour
	}
	r, err := w.Run(s.policy(t, yaml))
	if err != nil {
		t.Fatalf("%s, %s: %v", s.name, name, err)
	}
	tell(t, "%s, %s, boot %s: %s", s.name, name, boot, r)
	return r
}

// The profile for web sites leaves no more requests unserved (5 % for chance) than those of
// Kubernetes' autoscaler do by default, and costs little more; far fewer than a count that is
// followed at once.
func TestWebProfile(t *testing.T) {
	t.Parallel()
	const kubernetes = "behavior: {tolerance: {up: 10%, down: 10%}, scale-down: {stabilization-window: 300s}, " +
		"scale-up: {policies: [{type: percent, value: 100, period: 15s}, {type: count, value: 4, period: 15s}]}}\n"
	boots, played := []time.Duration{30 * time.Second}, sites[1:]
	if *days > 0 {
		played = sites
		boots = []time.Duration{2 * time.Second, 30 * time.Second, 2 * time.Minute}
	}
	for _, s := range played {
		for _, boot := range boots {
			plain := s.play(t, "plain", boot, "")
			other := s.play(t, "kubernetes", boot, kubernetes)
			web := s.play(t, "web", boot, "profile: web\n")
			if web.Unserved > 1.05*other.Unserved || web.Cost > 1.06*other.Cost || web.Unserved > 0.75*plain.Unserved {
				t.Errorf("%s, boot %s: %s; kubernetes: %s; plain: %s", s.name, boot, web, other, plain)
			}
		}
	}
}
