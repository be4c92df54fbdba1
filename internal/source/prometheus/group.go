package prometheus

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/VictoriaMetrics/metricsql"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

const (
	// maxQuery bounds the text of a query for several apps, in bytes. It is below
	// the 16,384 that VictoriaMetrics takes unless told otherwise.
	maxQuery = 15_000
	// maxParts bounds into how many queries the apps of one collection are
	// divided. Where that would not do, one query asks for every app the server
	// knows: beyond this size most of those are asked for anyway.
	maxParts = 3
)

// RefusedError says why a query cannot be asked for all apps at once with, for
// certain, the same answers as asking for one app at a time.
type RefusedError struct {
	Reason string // for the author of the query
}

// Error implements error.
func (e *RefusedError) Error() string { return "cannot ask for all apps at once: " + e.Reason }

func refuse(format string, args ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, args...)}
}

// Grouped is a query about one app made into one about many: its answer has a
// row for every app that has a value, told apart by a label.
type Grouped struct {
	label  string
	parts  []string // the text around the matchers of apps; each part but the last ends in the label's name
	absent *float64 // value of an app without a row; nil is none
}

// Label returns the label by which the rows of an answer name their app.
func (g Grouped) Label() string { return g.label }

// Absent returns the value of an app that has no row in the answer, which the
// query gave by "or vector(0)" or "default 0" at its end.
func (g Grouped) Absent() (value float64, ok bool) {
	if g.absent == nil {
		return 0, false
	}
	return *g.absent, true
}

// Query returns the query about the given apps, or about all apps that the
// server knows when none is given. Names are entered as data.
func (g Grouped) Query(apps []scale.App) string {
	return strings.Join(g.parts, matcher(apps))
}

// QueryExcept returns the query about all apps that the server knows but for the
// given ones.
func (g Grouped) QueryExcept(apps []scale.App) string {
	if len(apps) == 0 {
		return g.Query(nil)
	}
	return strings.Join(g.parts, `!~"|`+alternatives(apps)+`"`)
}

// query returns the query about a part.
func (g Grouped) query(p part) string {
	if p.list == nil {
		return g.QueryExcept(p.except)
	}
	return g.Query(p.list)
}

// matcher returns the operator and the value that select the given apps.
func matcher(apps []scale.App) string {
	switch len(apps) {
	case 0:
		return `!=""`
	case 1:
		return `="` + quoted(string(apps[0])) + `"`
	}
	return `=~"` + alternatives(apps) + `"`
}

// alternatives is a pattern, in double quotes, of any of the names.
func alternatives(apps []scale.App) string {
	names := make([]string, len(apps))
	for i, app := range apps {
		names[i] = pattern(app)
	}
	return strings.Join(names, "|")
}

// pattern is a name as a pattern in double quotes.
func pattern(app scale.App) string { return quoted(regexp.QuoteMeta(string(app))) }

// quoted is a text as it stands in double quotes.
func quoted(text string) string {
	text, err := place{quote: '"'}.escape(text)
	if err != nil {
		panic(fmt.Sprintf("escape a text in double quotes: %v", err)) // Every text can stand there.
	}
	return text
}

// divide returns the lists of apps to ask for, one query each; a nil list is a
// query for all apps that the server knows, but for the spoilers.
func (g Grouped) divide(apps, spoilers []scale.App) [][]scale.App {
	lists := g.chunks(apps)
	if len(lists) <= maxParts || len(g.QueryExcept(spoilers)) > maxQuery {
		return lists
	}
	return [][]scale.App{nil}
}

// chunks divides apps so that no query is longer than maxQuery.
func (g Grouped) chunks(apps []scale.App) [][]scale.App {
	base := 0
	for _, part := range g.parts {
		base += len(part)
	}
	selectors := len(g.parts) - 1
	var lists [][]scale.App
	for from, size, i := 0, 0, 0; i <= len(apps); i++ {
		if i == len(apps) {
			if from < i {
				lists = append(lists, apps[from:i:i])
			}
			break
		}
		more := len(pattern(apps[i])) + len(`|`)
		if from < i && base+selectors*(len(`=~""`)+size+more) > maxQuery {
			lists = append(lists, apps[from:i:i])
			from, size = i, 0
		}
		size += more
	}
	return lists
}

// Group rewrites a query about one app, whose selectors hold the matcher
// label="$APP_NAME", into one about many apps. An empty label stands for the one
// that the query uses. Rows of the rewritten query's answer that carry an app's
// name in the label are, but for that label, what the query would have answered
// about that app. Where that is not certain the error is a *RefusedError.
func Group(query, label string) (Grouped, error) {
	text := parseTemplate(query)
	if !text.perApp() {
		return Grouped{}, refuse("the query does not hold $%s and is the same for all apps", variable)
	}
	for _, s := range text {
		// Only among matchers does the parser leave strings as they are: elsewhere
		// it computes with them, which could make a variable disappear.
		if !s.place.nothing && !s.place.braces {
			return Grouped{}, errStray()
		}
	}
	name := standIn(query)
	expanded, err := text.expand(scale.App(name))
	if err != nil {
		return Grouped{}, refuse("%v", err)
	}
	tree, err := metricsql.Parse(expanded)
	if err != nil {
		readable := strings.ReplaceAll(err.Error(), name, "$"+variable)
		return Grouped{}, refuse("the query cannot be read as PromQL or MetricsQL: %s", readable)
	}
	if label == "" {
		label = labelOf(tree, name)
	}
	if err := checkLabel(label); err != nil {
		return Grouped{}, err
	}
	r := rewriter{label: label, name: name}
	tree, absent, err := r.rewrite(tree)
	if err != nil {
		return Grouped{}, err
	}
	p := printer{label: label, name: name}
	if err := p.expr(tree); err != nil {
		return Grouped{}, err
	}
	g := Grouped{label: label, parts: append(p.parts, p.text.String()), absent: absent}
	if longest := len(g.Query([]scale.App{scale.App(strings.Repeat("a", 63))})); longest > maxQuery {
		return Grouped{}, refuse("the query is longer than the %d bytes that servers take", maxQuery)
	}
	return g, nil
}

// errStray is the refusal of a variable that is not an app's whole matcher.
func errStray() error {
	return refuse(`$%s must stand alone as the value of a matcher such as app="$%s"`, variable, variable)
}

// standIn returns a name for the app that does not occur in the query.
func standIn(query string) string {
	name := "app-name"
	for strings.Contains(query, name) {
		name += "-x"
	}
	return name
}

// labelOf returns the label of the first matcher of the app.
func labelOf(tree metricsql.Expr, name string) string {
	label := ""
	metricsql.VisitAll(tree, func(e metricsql.Expr) {
		selector, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, f := range slices.Concat(selector.LabelFilterss...) {
			if label == "" && isAppMatcher(f, f.Label, name) {
				label = f.Label
			}
		}
	})
	return label
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return errStray()
	case label == "__name__", label == "le", label == "vmrange":
		return refuse("the label %s has a meaning of its own", label)
	case !isPlainLabel(label):
		return refuse("the label %q is not made of letters, digits and underscores", label)
	}
	return nil
}

// isAppMatcher reports whether a matcher selects the app by the label.
func isAppMatcher(f metricsql.LabelFilter, label, name string) bool {
	return f.Label == label && f.Value == name && !f.IsNegative && !f.IsRegexp
}

// refusal returns the reason of a refusal.
func refusal(err error) string {
	if r, ok := errors.AsType[*RefusedError](err); ok {
		return r.Reason
	}
	return err.Error()
}
