package prometheus_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

// The apps of the data. Some are not asked for, and "gone" never has data.
var (
	groupApps  = []scale.App{"web", "api-2", "jobs", "gone"}
	groupData  = []string{"web", "api-2", "jobs", "other", ""}
	groupStart = time.Unix(1_700_000_000, 0)
)

// TestGroupEquals compares, on random data, what the engine of a Prometheus server
// says of each app with the query about that app and with the rewritten one.
func TestGroupEquals(t *testing.T) {
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 30_000 },
		Parser:                   parser.NewParser(parser.Options{}),
	})
	var accepted, refused, values, empties, others int
	rapid.Check(t, func(t *rapid.T) {
		e := evaluator{engine: engine, data: drawSeries(t), at: groupStart.Add(10 * time.Minute)}
		for range 5 {
			query := drawQuery(t)
			g, err := prometheus.Group(query, "app")
			if err != nil {
				refused++
				continue
			}
			accepted++
			for _, app := range groupApps {
				want := e.one(t, query, app)
				got := e.rows(t, g, g.Query(groupApps))[app]
				if got.kind == "error" {
					// What is wrong with one app spoils the answer for all. Then apps
					// are asked for in smaller parts.
					got = e.rows(t, g, g.Query([]scale.App{app}))[app]
				} else if all := e.rows(t, g, g.Query(nil))[app]; all.kind != "error" && !all.same(got) {
					t.Fatalf("%s\nis, asked as %s, %v of %s; as %s, it is %v", query, g.Query(groupApps), got, app, g.Query(nil), all)
				}
				// Without one app, the others are the same, and may be better off.
				left := groupApps[rapid.IntRange(0, len(groupApps)-1).Draw(t, "left out")]
				if rest := e.rows(t, g, g.QueryExcept([]scale.App{left, "nosuch"}))[app]; app != left && rest.kind != "error" && !rest.same(want) {
					t.Fatalf("%s\nis %v for %s; without %s it is %v", query, want, app, left, rest)
				}
				if !want.same(got) {
					t.Fatalf("%s\nis %v for %s; asked as\n%s\nit is %v\n%s", query, want, app, g.Query(groupApps), got, e.data)
				}
				switch got.kind {
				case "value":
					values++
				case "empty":
					empties++
				default:
					others++
				}
			}
		}
	})
	t.Logf("%d queries accepted, %d refused; %d values, %d empty, %d others", accepted, refused, values, empties, others)
	if accepted < 150 || values < 150 || empties < 50 || others < 10 {
		t.Error("the queries are too few to prove anything")
	}
}

// result is what can be said of one app.
type result struct {
	kind  string // value, empty, several, error
	value float64
}

func (r result) same(other result) bool {
	if r.kind != other.kind || r.value == other.value || math.IsNaN(r.value) && math.IsNaN(other.value) {
		return r.kind == other.kind
	}
	return math.Abs(r.value-other.value) <= 1e-9*max(math.Abs(r.value), math.Abs(other.value))
}

type evaluator struct {
	engine *promql.Engine
	data   dataSet
	at     time.Time
}

func (e evaluator) exec(t *rapid.T, query string) (promql.Vector, error) {
	q, err := e.engine.NewInstantQuery(t.Context(), e.data, nil, query, e.at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	res := q.Exec(t.Context())
	if res.Err != nil {
		return nil, res.Err
	}
	v, err := res.Vector()
	return slices.Clone(v), err
}

// one asks the query about one app.
func (e evaluator) one(t *rapid.T, query string, app scale.App) result {
	expanded, err := prometheus.Expand(query, app)
	if err != nil {
		t.Fatalf("expand: %v", err)
	}
	v, err := e.exec(t, expanded)
	switch {
	case err != nil:
		return result{kind: "error"}
	case len(v) == 0:
		return result{kind: "empty"}
	case len(v) > 1:
		return result{kind: "several"}
	}
	return result{"value", v[0].F}
}

// rows asks a query about several apps.
func (e evaluator) rows(t *rapid.T, g prometheus.Grouped, query string) map[scale.App]result {
	v, err := e.exec(t, query)
	found := map[scale.App]result{}
	for _, app := range groupApps {
		found[app] = result{kind: "empty"}
		if c, ok := g.Absent(); ok {
			found[app] = result{"value", c}
		}
		if err != nil {
			found[app] = result{kind: "error"}
		}
	}
	seen := map[scale.App]bool{}
	for _, s := range v {
		app := scale.App(s.Metric.Get("app"))
		switch {
		case app == "":
			t.Fatalf("%s has a row without an app: %v", query, s)
		case seen[app]:
			found[app] = result{kind: "several"}
		default:
			found[app] = result{"value", s.F}
		}
		seen[app] = true
	}
	return found
}

// dataSet is series in memory.
type dataSet []storage.Series

// String shows the data.
func (d dataSet) String() string {
	var b strings.Builder
	for _, s := range d {
		fmt.Fprintf(&b, "%s", s.Labels())
		for it := s.Iterator(nil); it.Next() != chunkenc.ValNone; {
			at, v := it.At()
			fmt.Fprintf(&b, " %d:%g", (at-groupStart.UnixMilli())/1000, v)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Querier implements storage.Queryable.
func (d dataSet) Querier(int64, int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var found []storage.Series
		for _, s := range d {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
				found = append(found, s)
			}
		}
		return &seriesSet{series: found, at: -1}
	}}, nil
}

// seriesSet goes through series.
type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                      { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series              { return s.series[s.at] }
func (*seriesSet) Err() error                        { return nil }
func (*seriesSet) Warnings() annotations.Annotations { return nil }

// sample is a sample in memory.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// drawSeries draws series of gauges, counters and histograms of several apps, with
// gaps, resets, ends, and values that are no numbers.
func drawSeries(t *rapid.T) dataSet {
	var all dataSet
	add := func(counter bool, set ...string) {
		if rapid.IntRange(0, 5).Draw(t, "absent") == 0 {
			return
		}
		var samples []chunks.Sample
		last := 0.0
		step := rapid.SampledFrom([]int{30, 60, 150}).Draw(t, "step")
		for at := rapid.IntRange(0, 300).Draw(t, "first"); at <= 600; at += step {
			v := float64(rapid.IntRange(-2, 20).Draw(t, "value"))
			switch rare := rapid.IntRange(0, 60).Draw(t, "rare"); {
			case counter && rare == 0:
				last = 0 // a reset
			case counter:
				last += math.Abs(v)
				v = last
			case rare == 0:
				v = math.NaN()
			case rare == 1:
				v = math.Inf(1)
			case rare == 2:
				v = math.Float64frombits(value.StaleNaN)
			case rare == 3:
				at += 180 // a gap
			}
			samples = append(samples, sample{groupStart.UnixMilli() + int64(at)*1000, v})
		}
		all = append(all, storage.NewListSeries(labels.FromStrings(set...), samples))
	}
	for _, app := range groupData {
		for _, name := range []string{"a", "b", "c_total"} {
			for _, part := range rapid.SampledFrom([][]string{{""}, {"x"}, {"x", "y"}, {"", "x"}}).Draw(t, "parts") {
				add(name == "c_total", "__name__", name, "app", app, "part", part)
			}
		}
		for _, le := range []string{"1", "5", "+Inf"} {
			add(true, "__name__", "h_bucket", "app", app, "le", le, "part", "x")
		}
	}
	add(false, "__name__", "g", "part", "x")
	add(false, "__name__", "g", "part", "y")
	return all
}

// drawQuery draws a query, more often than not one that can be grouped.
func drawQuery(t *rapid.T) string {
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "pick") }
	chance := func(of int) bool { return rapid.IntRange(0, of-1).Draw(t, "chance") == 0 }
	const app = `app="$APP_NAME"`
	selector := func() string {
		if chance(40) {
			return pick(`a`, `g`, `a{app=~"$APP_NAME"}`, `b{app!=""}`)
		}
		return pick("a", "a", "b", "b", "c_total") + "{" + pick("", "", "", `part="x",`, `part!="x",`, `app!="web",`, `app=~".+",`) + app + "}"
	}
	list := func() string { return pick("", "part", "part", "app", "app, part", "le", "part, nosuch") }
	var vector func(depth int) string
	number := func() string {
		return pick("0", "2", "-1", "0.5", "(1 + 2)", "scalar(g)", `scalar(g{part="x"})`, "time()", "1e3", "(-2)")
	}
	vector = func(depth int) string {
		if depth <= 0 {
			return selector() + pick("", "", "", "", " offset 1m", " @ 1700000500", " offset -30s")
		}
		inner := func() string { return vector(depth - 1 - rapid.IntRange(0, 1).Draw(t, "less")) }
		switch pick("aggr", "aggr", "aggr", "rollup", "rollup", "sub", "func", "number", "number", "binary", "binary", "binary", "set", "other", "bad", "histogram", "leaf") {
		case "aggr":
			name := pick("sum", "sum", "sum", "avg", "min", "max", "count", "stddev", "stdvar", "group", "quantile(0.5")
			modifier := pick("", "", "", " by ("+list()+") ", " without ("+list()+") ")
			if arg, ok := strings.CutPrefix(name, "quantile("); ok {
				return "quantile" + modifier + "(" + arg + ", " + inner() + ")"
			}
			return name + modifier + "(" + inner() + ")"
		case "rollup":
			window := pick("[2m]", "[5m]", "[10m]", "[5m] offset 1m", "[5m] @ end()")
			switch name := pick("rate", "increase", "delta", "changes", "resets", "irate", "deriv", "max_over_time", "avg_over_time",
				"last_over_time", "count_over_time", "present_over_time", "stddev_over_time", "quantile_over_time", "predict_linear", "absent_over_time"); name {
			case "quantile_over_time":
				return name + "(0.7, " + selector() + window + ")"
			case "predict_linear":
				return name + "(" + selector() + window + ", 60)"
			default:
				return name + "(" + selector() + window + ")"
			}
		case "sub":
			return pick("max_over_time", "sum_over_time", "min_over_time", "rate", "last_over_time", "count_over_time") + "((" + inner() + ")" + pick("[3m:1m]", "[2m:]", "[4m:30s] offset 1m") + ")"
		case "func":
			return pick("abs(", "ceil(", "floor(", "sqrt(", "exp(", "ln(", "round(", "sgn(", "sort(", "timestamp(", "hour(", "clamp_min(2, ", "clamp_max(3, ", "scalar(", "absent(", "-(", "+(") + inner() + ")"
		case "number":
			op := pick("+", "-", "*", "/", "%", "^", ">", "<", ">=", "==", "!=", "> bool", "== bool", "atan2")
			if chance(2) {
				return number() + " " + op + " " + "(" + inner() + ")"
			}
			return inner() + " " + op + " " + number()
		case "binary":
			return "(" + inner() + ") " + pick("+", "-", "*", "/", "/", "%", "^", ">", "<", "==", "> bool") +
				pick("", "", "", "", " on ("+list()+")", " on ("+list()+")", " ignoring ("+list()+")", " on ("+list()+") group_left ()") + " (" + inner() + ")"
		case "set":
			return "(" + inner() + ") " + pick("and", "or", "unless") +
				pick("", "", " on ("+list()+")", " ignoring ("+list()+")") + " (" + inner() + ")"
		case "other":
			return "(" + inner() + ") " + pick("and", "unless", "or", "*") + pick("", " on ()", " on (part)", " on (app)") + " (" + pick("g", "g > 5", "hour() > 3", "vector(1)", "a", "sum(a)") + ")"
		case "bad":
			switch name := pick("topk", "bottomk", "label_replace", "scalar"); name {
			case "label_replace":
				return "label_replace(" + inner() + `, "app", "x", "part", ".*")`
			case "scalar":
				return inner() + " * scalar(" + inner() + ")"
			default:
				return name + "(1, " + inner() + ")"
			}
		case "histogram":
			return "histogram_quantile(0.9, " + pick("sum by (le) (", "sum by (le, part) (", "(", "sum without (part) (") + pick("rate(h_bucket{"+app+"}[5m])", "h_bucket{"+app+"}") + "))"
		}
		return inner()
	}
	// Forms whose danger lies in a label that one side has and the other has not.
	if chance(10) {
		a, b := vector(1), vector(1)
		mixed := pick("or on (part)", "or on ()", "or ignoring (app)", "and ignoring (app)", "unless ignoring (app, part)", "* ignoring (app)")
		return pick("", "max", "count") + "((" + a + ") " + mixed + " (" + b + "))" +
			pick("", " * "+vector(0), " or vector(1)", " - on (part) "+vector(1))
	}
	query := vector(rapid.IntRange(0, 4).Draw(t, "depth"))
	switch pick("", "", "", "", "or", "on", "sum") {
	case "or":
		return "(" + query + ") or vector(" + pick("0", "-1.5") + ")"
	case "on":
		return "(" + query + ") or on () vector(7)"
	case "sum":
		return pick("sum", "max", "count") + "(" + query + ")" + pick("", " or vector(0)")
	}
	return query
}
