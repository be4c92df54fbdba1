package simulate

import (
	"fmt"
	"math"
	"strings"
)

// unbounded is a ceiling that does not exist, and undefined a floor.
const (
	unbounded = math.MaxInt
	undefined = -1
)

// want is how many Machines a policy wants: what is below a floor is added to, what
// is above a ceiling is taken away.
type want struct {
	minCreated, maxCreated int
	minStarted, maxStarted int
}

// policy is how one process group is governed, in the words of the settings and in
// ours.
type policy struct {
	name string
	// settings are the counts, as lines of YAML.
	settings []string
	// want is what they ask for when the metric has the value.
	want func(work float64) want
	// metric is set when they depend on it.
	metric bool
}

func clamp(v float64, lo, hi int) int { return min(max(int(math.Ceil(v/10)), lo), hi) }

// policies are those that stories draw from.
var policies = []policy{
	{
		"created and started",
		[]string{"created-machine-count: clamp(ceil(work / 10), 1, 7)", "started-machine-count: clamp(ceil(work / 10), 1, 7)"},
		func(w float64) want {
			n := clamp(w, 1, 7)
			return want{n, n, n, n}
		}, true,
	},
	{
		"started of a few created",
		[]string{"created-machine-count: '6'", "started-machine-count: min(ceil(work / 10), 6)"},
		func(w float64) want {
			n := clamp(w, 0, 6)
			return want{6, 6, n, n}
		}, true,
	},
	{
		"started",
		[]string{"started-machine-count: min(ceil(work / 10), 8)"},
		func(w float64) want {
			n := clamp(w, 0, 8)
			return want{undefined, unbounded, n, n}
		}, true,
	},
	{
		"created",
		[]string{"created-machine-count: clamp(ceil(work / 10), 1, 6)"},
		func(w float64) want {
			n := clamp(w, 1, 6)
			return want{n, n, undefined, unbounded}
		}, true,
	},
	{
		"bounds",
		[]string{
			"min-created-machine-count: '2'", "max-created-machine-count: '7'",
			"min-started-machine-count: min(ceil(work / 10), 5)", "max-started-machine-count: min(ceil(work / 10), 5) + 2",
		},
		func(w float64) want {
			n := clamp(w, 0, 5)
			return want{2, 7, n, n + 2}
		}, true,
	},
	{
		"fixed",
		[]string{"created-machine-count: '4'", "started-machine-count: '3'"},
		func(float64) want { return want{4, 4, 3, 3} }, false,
	},
	{
		"floor",
		[]string{"min-created-machine-count: '3'", "min-started-machine-count: min(ceil(work / 10), 6)"},
		func(w float64) want { return want{3, unbounded, clamp(w, 0, 6), unbounded} }, true,
	},
}

// settings returns the program's settings for a story, as YAML.
func (s *Story) settings() string {
	var b strings.Builder
	fmt.Fprintf(&b, "interval: %s\ntimeout: %s\nconcurrency: 4\napp-list-refresh-interval: 1m\ntargets:\n", s.Interval, s.Timeout)
	for _, rule := range s.Rules {
		fmt.Fprintf(&b, "  - app-name: '%s'\n    org: %s\n    api-token: %s\n    process-group: %s\n", rule.Apps, org, token, rule.Group)
		for _, line := range rule.policy.settings {
			fmt.Fprintf(&b, "    %s\n", line)
		}
		if rule.policy.metric {
			fmt.Fprintf(&b, "    metric-collectors:\n      - type: prometheus\n        metric-name: work\n        address: %s/prometheus/%s\n        token: %s\n        query: sum(work{app=\"$APP_NAME\"})\n", address, org, token)
		}
	}
	return b.String()
}
