package config

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Settings is a valid configuration.
type Settings struct {
	// Org is the organization at the top level; targets carry their own.
	Org string
	// MachinesURL and GraphQLURL are the roots of the platform's two APIs,
	// without a path of their own.
	MachinesURL string
	GraphQLURL  string

	Interval               time.Duration // between two passes over a target
	Timeout                time.Duration // of one pass
	AppListRefreshInterval time.Duration // of the apps that a wildcard matches
	Concurrency            int           // passes at the same time, at least 1

	Listen string // host:port of the metrics, health and API; port 0 picks one
	DryRun bool   // decide, but change nothing

	// StoreDir is the folder of memory and journal; without one they end with the
	// process. JournalRetention and JournalEntries bound the journal there.
	StoreDir         string
	JournalRetention time.Duration
	JournalEntries   int // at most MaxJournalEntries

	LogFormat string // "text" or "json"
	LogLevel  slog.Level

	// Targets has at least one element. Their names are unique, and so are
	// their pairs of AppPattern and Group.
	Targets []Target

	// Sources names the layers that set something, lowest first, such as
	// "fly-autoscaler.yml" and "environment".
	Sources []string
}

// Target is the scaling of one process group of one app, or of every app that
// a pattern matches.
type Target struct {
	// Name is the target's place in the configuration: "flat" for the one at
	// the top level, else "targets[0]", "targets[1]", …
	Name string
	// AppPattern is an app's name; a '*' in it stands for any characters. See
	// MatchApp.
	AppPattern string
	Org        string // never empty when AppPattern has a '*'
	Group      scale.ProcessGroup
	APIToken   scale.Secret   // may be empty; see Settings.RequireToken
	Regions    []scale.Region // where Machines may be created; empty for those of the app's Machines
	Launch     bool           // start a Machine that was created

	// The counts, as expressions; nil where not defined. An exact count is both
	// the minimum and the maximum. At least one is not nil.
	MinCreated, MaxCreated *expr.Program
	MinStarted, MaxStarted *expr.Program

	Collectors []Collector // names are unique

	Rules
}

// Wildcard reports whether the target is for every app that matches a pattern.
func (t Target) Wildcard() bool { return strings.Contains(t.AppPattern, "*") }

// Collector declares one metric and where it comes from.
type Collector struct {
	Type       string // "prometheus"
	MetricName string // its name in expressions
	Address    string // absolute URL
	// Query may hold $APP_NAME or ${APP_NAME}, for the app being scaled.
	Query string
	// GroupBy is the label by which the rows of a query about all apps at once are
	// given to apps; empty for a query that is asked for each app, or grouped by us.
	GroupBy string
	// MachineLabel is the label that tells the rows of the query apart by Machine;
	// empty for a metric of the whole app.
	MachineLabel string
	// EmptyIsZero takes an answer without a value for 0.
	EmptyIsZero bool
	// MaxAge is how old a value may be; 0 for what follows from the interval.
	MaxAge time.Duration
	Token  scale.Secret
}

// CollectorTypes are the valid types of a collector.
func CollectorTypes() []string { return []string{"prometheus"} }

// MaxJournalEntries is the largest number of entries that a journal may be set to.
const MaxJournalEntries = 300_000

// Defaults returns the settings that hold where nothing is set. There are no
// targets in it.
func Defaults() Settings {
	return Settings{
		MachinesURL:            "https://api.machines.dev",
		GraphQLURL:             "https://api.fly.io",
		Interval:               15 * time.Second,
		Timeout:                30 * time.Second,
		AppListRefreshInterval: time.Minute,
		Concurrency:            200,
		Listen:                 ":9090",
		JournalRetention:       7 * 24 * time.Hour,
		JournalEntries:         100_000,
		LogFormat:              "text",
		LogLevel:               slog.LevelInfo,
	}
}

// RequireToken returns an error that says what to do when a target has no API
// token. Validating and evaluating need none; scaling does.
func (s *Settings) RequireToken() error {
	for _, t := range s.Targets {
		if t.APIToken != "" {
			continue
		}
		create := fmt.Sprintf("fly tokens create deploy -a %s", t.AppPattern)
		if t.Wildcard() {
			create = fmt.Sprintf("fly tokens create org -o %s", t.Org)
		}
		return fmt.Errorf("no API token for app %q: create one with %q and set it as FAS_API_TOKEN (on Fly: fly secrets set FAS_API_TOKEN=…)", t.AppPattern, create)
	}
	return nil
}

// MatchApp reports whether an app's name matches a pattern, in which each '*'
// stands for any run of characters, also none. The whole name must match.
func MatchApp(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	// The leftmost place for each part leaves the most for those after it.
	for _, part := range parts[:len(parts)-1] {
		_, after, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = after
	}
	return strings.HasSuffix(name, last)
}
