package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// resolver gives the merged layers their meaning.
type resolver struct {
	*reporter
	settings Settings
	pause    text // FAS_PAUSE, which holds for every target
}

// metricNames are the metrics that a target knows.
type metricNames struct {
	names     []string // all
	byMachine []string // those with a value for each Machine, which expressions have no use for
}

// globals resolves what is not part of a target.
func (r *resolver) globals(m raw) {
	s := &r.settings
	s.Org = m.flat.org.value
	r.url(m.machinesURL, &s.MachinesURL)
	r.url(m.graphQLURL, &s.GraphQLURL)
	r.duration(m.interval, &s.Interval, 100*time.Millisecond, time.Hour)
	r.duration(m.timeout, &s.Timeout, time.Second, 10*time.Minute)
	r.duration(m.refresh, &s.AppListRefreshInterval, time.Second, 24*time.Hour)
	r.whole(m.concurrency, &s.Concurrency, 1, 1000)
	r.listen(m.listen)
	s.StoreDir = m.storeDir.value
	r.duration(m.journalAge, &s.JournalRetention, time.Hour, 365*24*time.Hour)
	r.whole(m.journalEntries, &s.JournalEntries, 100, MaxJournalEntries)
	r.bool(m.dryRun, &s.DryRun)
	if m.logFormat.set() {
		s.LogFormat = r.oneOf(m.logFormat, "text", "json")
	}
	var verbose bool
	r.bool(m.verbose, &verbose)
	switch {
	case m.logLevel.set():
		if level := r.oneOf(m.logLevel, "debug", "info", "warn", "error"); level != "" {
			if err := s.LogLevel.UnmarshalText([]byte(level)); err != nil {
				r.problem(m.logLevel.origin, err.Error(), "")
			}
		}
	case verbose:
		s.LogLevel = slog.LevelDebug
	}
}

// targets resolves the flat target and those of the list.
func (r *resolver) targets(m raw, in Input) {
	r.pause = m.pause
	shared, names := r.collectors(m.flat.collectors)
	flat := m.flat
	if flat.declared() {
		r.target(flat, "flat", shared, names)
	} else {
		r.orphans(flat)
	}
	for _, t := range m.targets {
		if !t.org.set() {
			t.org = flat.org
		}
		if !t.apiToken.set() {
			t.apiToken = flat.apiToken
		}
		if !t.profile.set() {
			t.profile = flat.profile
		}
		t.rules = t.rules.inherit(flat.rules)
		collectors, known := shared, names
		if len(t.collectors) > 0 {
			collectors, known = r.collectors(t.collectors)
		}
		r.target(t, t.origin.path, collectors, known)
	}
	if !flat.declared() && len(m.targets) == 0 && len(r.problems) == 0 {
		at := origin{file: FileEnvironment, path: "FAS_APP_NAME"}
		if in.File != nil {
			at = origin{file: in.Path, line: 1, column: 1}
		}
		r.problem(at, "there is no app to scale",
			"set app-name (FAS_APP_NAME, -app) and a count such as started-machine-count (FAS_STARTED_MACHINE_COUNT, -expr)")
	}
}

// orphans points out settings at the top level that belong to a target, when
// there is no target at the top level and targets do not inherit them.
func (r *resolver) orphans(flat rawTarget) {
	for _, t := range append([]text{flat.processGroup, flat.initialState}, flat.regions...) {
		if t.set() {
			r.warn(t.origin, "has no effect", "because there is no app-name at the top level; targets have their own")
		}
	}
}

func (r *resolver) target(t rawTarget, name string, collectors []Collector, metrics metricNames) {
	out := Target{Name: name, Org: t.org.value, Group: scale.DefaultProcessGroup, APIToken: scale.Secret(t.apiToken.value), Launch: true}
	out.AppPattern = r.appName(t)
	if t.processGroup.set() {
		out.Group = scale.ProcessGroup(r.name(t.processGroup, "a process group", ""))
	}
	if t.initialState.set() {
		out.Launch = r.oneOf(t.initialState, "started", "stopped") != "stopped"
	}
	for _, region := range t.regions {
		if code := r.region(region); !slices.Contains(out.Regions, code) {
			out.Regions = append(out.Regions, code)
		}
	}
	out.MinCreated, out.MaxCreated = r.group(t.created, metrics)
	out.MinStarted, out.MaxStarted = r.group(t.started, metrics)
	if !t.created.set() && !t.started.set() {
		r.problem(t.where(), "there is no count", "set started-machine-count or created-machine-count, or their min- and max- forms")
	}
	out.Rules = r.rules(t.profile, t.rules, metrics, &out)
	if r.pause.set() {
		oneOf(pauses, func(o *Rules) *policy.Pause { return &o.Limits.Pause })(&ruleResolver{resolver: r}, r.pause, &out.Rules)
	}
	for _, c := range collectors {
		if c.MachineLabel != "" && c.GroupBy == "" && out.Wildcard() && !namesApp(c.Query) {
			r.problem(t.appName.origin, fmt.Sprintf("the metric %q would bring the Machines of every app to each", c.MetricName), "name $APP_NAME in its query, or set group-by")
		}
		// Fly's metrics are read with a token of the platform, so that the one
		// we have will do. It goes to the platform's own address only.
		if c.Token == "" && sameServer(c.Address, r.settings.GraphQLURL) {
			c.Token = out.APIToken
		}
		out.Collectors = append(out.Collectors, c)
	}
	for _, other := range r.settings.Targets {
		if out.AppPattern != "" && other.AppPattern == out.AppPattern && other.Group == out.Group {
			r.problem(t.appName.origin, "another target scales the same process group of this app", "keep one of them")
		}
	}
	r.settings.Targets = append(r.settings.Targets, out)
}

// where is a place for what concerns the target as a whole.
func (t rawTarget) where() origin {
	if t.origin.path != "" {
		return t.origin
	}
	for _, s := range []text{t.appName, t.created.exact, t.created.lowest, t.created.highest, t.started.exact, t.started.lowest, t.started.highest} {
		if s.set() {
			return s.origin
		}
	}
	return t.origin
}

func (r *resolver) appName(t rawTarget) string {
	if !t.appName.set() {
		r.problem(t.where(), "there is no app-name", "say which app: app-name (FAS_APP_NAME, -app)")
		return ""
	}
	name := r.name(t.appName, "an app name", "*")
	if name != strings.ToLower(name) {
		r.warn(t.appName.origin, "app names on Fly are lower case", "")
	}
	if strings.Contains(name, "*") && !t.org.set() {
		r.problem(t.appName.origin, "a '*' needs an organization", "set org (FAS_ORG, -org)")
	}
	return name
}

// name checks that a value is letters, digits, '-', '_' and what else is
// allowed.
func (r *resolver) name(t text, what, allowed string) string {
	for i, c := range t.value {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || strings.ContainsRune(allowed, c) {
			continue
		}
		at := t.origin
		if !t.expanded {
			at.line, at.column = t.origin.at(i)
		}
		r.problem(at, fmt.Sprintf("%s is not %s, which is letters, digits and '-'", t.quoted(), what), "")
		return ""
	}
	return t.value
}

func (r *resolver) region(t text) scale.Region {
	ok := len(t.value) == 3
	for _, c := range t.value {
		ok = ok && 'a' <= c && c <= 'z'
	}
	if !ok {
		r.problem(t.origin, fmt.Sprintf("%s is not a region", t.quoted()), `want three lower-case letters, such as "iad"`)
	}
	return scale.Region(t.value)
}

// group compiles the three counts of created, or of started, Machines.
func (r *resolver) group(g rawGroup, metrics metricNames) (lowest, highest *expr.Program) {
	if g.exact.set() {
		p := r.expression(g.exact, metrics)
		return p, p
	}
	lowest, highest = r.expression(g.lowest, metrics), r.expression(g.highest, metrics)
	if lowest == nil || highest == nil {
		return lowest, highest
	}
	from, ok1 := lowest.Const()
	to, ok2 := highest.Const()
	if ok1 && ok2 && from > to {
		message := fmt.Sprintf("the maximum %g is below the minimum %g", to, from)
		if g.lowest.expanded || g.highest.expanded {
			message = "the maximum is below the minimum"
		}
		r.problem(g.highest.origin, message, "raise it, or lower "+lastKey(g.lowest.origin.path))
	}
	return lowest, highest
}

func (r *resolver) expression(t text, metrics metricNames) *expr.Program {
	if !t.set() {
		return nil
	}
	p, err := expr.Compile(t.value, metrics.names)
	if e, ok := errors.AsType[*expr.Error](err); ok {
		if t.expanded {
			r.problem(t.origin, "the expression is not valid with its variables filled in", "write it without ${…} to see why")
			return nil
		}
		line, column := t.origin.at(e.Offset)
		r.problemAt(t.origin, line, column, e.Message, e.Hint)
		return nil
	}
	for _, name := range p.Metrics() {
		if slices.Contains(metrics.byMachine, name) {
			at := t.origin
			if !t.expanded {
				word := regexp.MustCompile(`\b` + name + `\b`).FindStringIndex(t.value)
				at.line, at.column = t.origin.at(word[0])
			}
			r.problem(at, fmt.Sprintf("the metric %q is by Machine, for scale-in.busy alone", name), "declare a second one without by-machine")
		}
	}
	if p.Fixed() {
		if _, err := p.Run(expr.Env{}); err != nil && !t.expanded {
			r.problem(t.origin, "the expression never has a value: "+err.Error(), "")
		}
	}
	return p
}

// collectors resolves a list of collectors, and returns the names that
// expressions may use.
func (r *resolver) collectors(list []rawCollector) (out []Collector, names metricNames) {
	lines := map[string]origin{}
	for _, c := range list {
		r.required(c)
		if c.kind.set() {
			r.oneOf(c.kind, CollectorTypes()...)
		}
		if c.metricName.set() {
			if err := expr.ValidMetricName(c.metricName.value); err != nil {
				message := err.Error()
				if c.metricName.expanded {
					message = "the value cannot name a metric"
				}
				r.problem(c.metricName.origin, message, "")
			} else if first, twice := lines[c.metricName.value]; twice {
				r.problem(c.metricName.origin, fmt.Sprintf("%s is already the name of another metric", c.metricName.quoted()), "see "+first.String())
			}
			lines[c.metricName.value] = c.metricName.origin
			names.names = append(names.names, c.metricName.value)
			if c.byMachine.set() {
				names.byMachine = append(names.byMachine, c.metricName.value)
			}
		}
		one := Collector{Type: c.kind.value, MetricName: c.metricName.value, Query: c.query.value, GroupBy: c.groupBy.value, Token: scale.Secret(c.apiToken.value)}
		r.url(c.address, &one.Address)
		if c.groupBy.set() {
			r.groupBy(c)
		}
		if c.byMachine.set() {
			r.byMachine(c)
			one.MachineLabel = c.byMachine.value
		}
		if c.onEmpty.set() {
			one.EmptyIsZero = r.oneOf(c.onEmpty, "unknown", "zero") == "zero"
		}
		r.duration(c.maxAge, &one.MaxAge, time.Second, longestWait)
		out = append(out, one)
	}
	return out, names
}

// label is a label's name as PromQL writes it without quotes.
var label = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// groupBy checks the label by which a query's rows are given to apps.
func (r *resolver) groupBy(c rawCollector) {
	switch {
	case !label.MatchString(c.groupBy.value):
		r.problem(c.groupBy.origin, fmt.Sprintf("%s is not the name of a label", c.groupBy.quoted()), `such as "app"`)
	case namesApp(c.query.value):
		r.problem(c.groupBy.origin, "group-by goes with a query about all apps at once, and this one names $APP_NAME", "leave one of the two out: sum by (app) (queue_depth)")
	}
}

// byMachine checks the label by which a query's rows are given to Machines.
func (r *resolver) byMachine(c rawCollector) {
	switch {
	case !label.MatchString(c.byMachine.value):
		r.problem(c.byMachine.origin, fmt.Sprintf("%s is not the name of a label", c.byMachine.quoted()), `such as "instance"`)
	case c.groupBy.value == c.byMachine.value:
		r.problem(c.byMachine.origin, "the same label cannot tell apart both apps and Machines", "")
	case c.onEmpty.value == "zero":
		r.problem(c.onEmpty.origin, "no answer tells of no Machine that it is idle", "have the query give 0 for those that are, and leave this out")
	}
}

// namesApp reports whether a query is about the app being scaled.
func namesApp(query string) bool {
	return strings.Contains(query, "$APP_NAME") || strings.Contains(query, "${APP_NAME}")
}

// required reports the missing keys of a collector.
func (r *resolver) required(c rawCollector) {
	for _, k := range collectorKeys {
		if !k.required || k.field(&c).set() {
			continue
		}
		hint := ""
		if k.yaml == "type" {
			hint = "there is " + strings.Join(CollectorTypes(), ", ")
		}
		name := k.yaml
		if c.origin.source == nil {
			name = shellName(c.origin.file, k.yaml)
		}
		r.problem(c.origin, fmt.Sprintf("%s is required", name), hint)
	}
}

// String is the place of an origin, for hints.
func (o origin) String() string {
	if o.line > 0 {
		return fmt.Sprintf("%s:%d:%d", o.file, o.line, o.column)
	}
	return o.path
}

// oneOf checks a value against the valid ones. It returns "" for any other.
func (r *resolver) oneOf(t text, valid ...string) string {
	if slices.Contains(valid, t.value) {
		return t.value
	}
	hint := "want " + strings.Join(valid, " or ")
	if len(valid) > 2 {
		hint = "want one of " + strings.Join(valid, ", ")
	}
	if near := expr.Nearest(t.value, valid); near != "" && !t.expanded {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	r.problem(t.origin, fmt.Sprintf("%s is not valid", t.quoted()), hint)
	return ""
}

func (r *resolver) duration(t text, into *time.Duration, lowest, highest time.Duration) {
	if !t.set() {
		return
	}
	d, err := time.ParseDuration(t.value)
	switch {
	case err != nil:
		hint := `want a number with its unit, such as "15s" or "1m30s"`
		if _, err := strconv.ParseFloat(t.value, 64); err == nil && !t.expanded {
			hint = fmt.Sprintf("did you mean %q?", t.value+"s")
		}
		r.problem(t.origin, fmt.Sprintf("%s is not a duration", t.quoted()), hint)
	case d < lowest || d > highest:
		r.problem(t.origin, fmt.Sprintf("%s is out of range", t.quoted()), fmt.Sprintf("want %s to %s", short(lowest), short(highest)))
	default:
		*into = d
	}
}

// short leaves out the parts of a duration that are zero.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// whole resolves a whole number within bounds.
func (r *resolver) whole(t text, into *int, lowest, highest int) {
	if !t.set() {
		return
	}
	if n, ok := r.wholeIn(t, lowest, highest); ok {
		*into = n
	}
}

func (r *resolver) listen(t text) {
	if !t.set() {
		return
	}
	_, port, err := net.SplitHostPort(t.value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		r.problem(t.origin, fmt.Sprintf("%s is not an address to listen on", t.quoted()), `want host:port, such as ":9090" or "127.0.0.1:9090"`)
		return
	}
	r.settings.Listen = t.value
}

func (r *resolver) bool(t text, into *bool) {
	if !t.set() {
		return
	}
	v, ok := parseBool(t.value)
	if !ok {
		r.problem(t.origin, fmt.Sprintf("%s is neither true nor false", t.quoted()), "")
		return
	}
	*into = v
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	return false, false
}

// url checks an absolute http or https URL. It is never quoted, because it may
// hold a password.
func (r *resolver) url(t text, into *string) {
	if !t.set() {
		return
	}
	u, err := url.Parse(t.value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		r.problem(t.origin, "this is not an absolute http or https URL", `want one such as "https://api.fly.io/prometheus/my-org"`)
		return
	}
	*into = strings.TrimRight(t.value, "/")
}

// sameServer reports whether two URLs have scheme and host in common.
func sameServer(a, b string) bool {
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	return errA == nil && errB == nil && ua.Scheme == ub.Scheme && ua.Host == ub.Host && ua.Host != ""
}
