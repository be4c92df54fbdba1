package app

import (
	"fmt"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/reconcile"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

// rule is one target of the settings, which governs one app or all apps that
// match its pattern. Its policy and sources are shared by all of them.
type rule struct {
	target     config.Target
	policy     *policy.Policy
	sources    []reconcile.Source
	apps       *appNames // of a pattern: those it matched last
	dryRun     bool
	connection *connection // nil without an API token, which only eval does without
}

// minMaxAge is the least age at which a list of Machines is too old to act upon,
// whatever the interval: asking for the release after it may take this long.
const minMaxAge = 30 * time.Second

// minMaxMetricAge is the least age at which a metric's value is too old to act
// upon, whatever the interval: servers answer as of up to half a minute ago.
const minMaxMetricAge = time.Minute

func newRule(a *App, g *generation, target config.Target) (rule, error) {
	r := rule{
		target: target,
		apps:   &appNames{},
		policy: target.Policy(max(2*g.settings.Interval, minMaxAge)),
	}
	if target.APIToken != "" {
		c, err := a.platform.connect(target.APIToken)
		if err != nil {
			return rule{}, fmt.Errorf("target %s: %w", target.Name, err)
		}
		r.connection = c
	}
	for _, collector := range target.Collectors {
		s, err := newSource(a, g, collector)
		if err != nil {
			return rule{}, fmt.Errorf("target %s: metric %q: %w", target.Name, collector.MetricName, err)
		}
		g.onClose("source of metric "+collector.MetricName, s.Close)
		if target.Wildcard() {
			s = source.NewShared(s, r.apps.get, sharedFor(g.settings))
		}
		if collector.EmptyIsZero {
			s = source.EmptyIsZero(s)
		}
		r.sources = append(r.sources, s)
	}
	return r, nil
}

func newSource(a *App, g *generation, c config.Collector) (source.Source, error) {
	maxAge := c.MaxAge
	if maxAge == 0 {
		maxAge = max(2*g.settings.Interval, minMaxMetricAge)
	}
	return prometheus.New(prometheus.Config{
		Metric: c.MetricName, Address: c.Address, Query: c.Query, Token: c.Token,
		GroupLabel: c.GroupBy, MachineLabel: c.MachineLabel,
		Timeout:   sourceTimeout(g.settings),
		MaxAge:    maxAge,
		Logger:    a.logger,
		Transport: a.options.Transport,
		Observe:   func(d time.Duration, err error) { a.metrics.query(c.MetricName, d, err) },
	})
}

// sourceTimeout is how long one collection may last: short enough that a source
// that hangs leaves the pass time to act, and holds it for one interval at most.
func sourceTimeout(s *config.Settings) time.Duration {
	return min(prometheus.DefaultTimeout, s.Timeout*2/3, max(s.Interval, time.Second))
}
