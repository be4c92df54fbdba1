package prometheus_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

func TestGroup(t *testing.T) {
	type absent struct {
		Value float64
		OK    bool
	}
	zero, none := absent{0, true}, absent{}
	tests := []struct {
		name, query, want string
		absent            absent
	}{
		{"selector", `depth{app="$APP_NAME"}`, `depth{app=~"a|b"}`, none},
		{"quotes and braces", `depth{app='${APP_NAME}',part!="x"}`, `depth{app=~"a|b",part!="x"}`, none},
		{"backquotes", "depth{app=`$APP_NAME`}", `depth{app=~"a|b"}`, none},
		{"another label", `depth{fly_app="$APP_NAME",app="x"}`, `depth{fly_app=~"a|b",app="x"}`, none},
		{"label in quotes", `{"app"="$APP_NAME"}`, `{app=~"a|b"}`, none},
		{"no metric", `{app="$APP_NAME",__name__=~"x.*"}`, `{app=~"a|b",__name__=~"x.*"}`, none},
		{"metric in braces", `{"depth",app="$APP_NAME"}`, `depth{app=~"a|b"}`, none},
		{"metric of odd letters", `{"a.b",app="$APP_NAME"}`, `{__name__="a.b",app=~"a|b"}`, none},
		{"metric named like a word", `sum(on{app="$APP_NAME"})`, `sum by (app) ({__name__="on",app=~"a|b"})`, none},
		{"more about the app", `depth{app="$APP_NAME",app!="b"}`, `depth{app=~"a|b",app!="b"}`, none},
		{"alternatives", `depth{app="$APP_NAME",x="1" or app="$APP_NAME",y="2"}`, `{__name__="depth",app=~"a|b",x="1" or __name__="depth",app=~"a|b",y="2"}`, none},
		{"comment", "sum(depth{app=\"$APP_NAME\"}) # of $APP_NAME", `sum by (app) (depth{app=~"a|b"})`, none},

		{"sum", `sum(depth{app="$APP_NAME"})`, `sum by (app) (depth{app=~"a|b"})`, none},
		{"by", `max by (part) (depth{app="$APP_NAME"})`, `max by (part, app) (depth{app=~"a|b"})`, none},
		{"by the label", `max(depth{app="$APP_NAME"}) by (app, part)`, `max by (app, part) (depth{app=~"a|b"})`, none},
		{"without", `avg without (part) (depth{app="$APP_NAME"})`, `avg without (part) (depth{app=~"a|b"})`, none},
		{"without the label", `avg without (app, part) (depth{app="$APP_NAME"})`, `avg without (part) (depth{app=~"a|b"})`, none},
		{"nested", `max(sum by (part) (depth{app="$APP_NAME"}))`, `max by (app) (sum by (part, app) (depth{app=~"a|b"}))`, none},
		{"quantile", `quantile(0.9, depth{app="$APP_NAME"})`, `quantile by (app) (0.9, depth{app=~"a|b"})`, none},
		{"quantile by a scalar", `quantile(scalar(q), depth{app="$APP_NAME"})`, `quantile by (app) (scalar(q), depth{app=~"a|b"})`, none},

		{"rate", `sum(rate(jobs{app="$APP_NAME"}[5m]))`, `sum by (app) (rate(jobs{app=~"a|b"}[5m]))`, none},
		{"offset and at", `sum(rate(jobs{app="$APP_NAME"}[5m] offset -1h @ end()))`, `sum by (app) (rate(jobs{app=~"a|b"}[5m] offset -1h @ end()))`, none},
		{"subquery", `max_over_time(sum(depth{app="$APP_NAME"})[10m:1m])`, `max_over_time((sum by (app) (depth{app=~"a|b"}))[10m:1m])`, none},
		{"subquery of the default step", `avg_over_time((depth{app="$APP_NAME"} * 2)[10m:])`, `avg_over_time((depth{app=~"a|b"} * 2)[10m:])`, none},
		{"quantile over time", `quantile_over_time(0.5, depth{app="$APP_NAME"}[5m])`, `quantile_over_time(0.5, depth{app=~"a|b"}[5m])`, none},
		{"functions", `ceil(clamp(depth{app="$APP_NAME"}, -1, 10))`, `ceil(clamp(depth{app=~"a|b"}, -1, 10))`, none},
		{"histogram", `histogram_quantile(0.95, sum by (le) (rate(b_bucket{app="$APP_NAME"}[5m])))`, `histogram_quantile(0.95, sum by (le, app) (rate(b_bucket{app=~"a|b"}[5m])))`, none},

		{"with a number", `sum(depth{app="$APP_NAME"}) / 10`, `sum by (app) (depth{app=~"a|b"}) / 10`, none},
		{"number first", `100 - sum(depth{app="$APP_NAME"}) * -2`, `100 - (sum by (app) (depth{app=~"a|b"}) * (-2))`, none},
		{"minus", `-sum(depth{app="$APP_NAME"})^2`, `0 - (sum by (app) (depth{app=~"a|b"}) ^ 2)`, none},
		{"power of a negative", `(-2) ^ sum(depth{app="$APP_NAME"})`, `(-2) ^ sum by (app) (depth{app=~"a|b"})`, none},
		{"comparison", `sum(depth{app="$APP_NAME"}) > bool 5`, `sum by (app) (depth{app=~"a|b"}) > bool 5`, none},
		{"with a scalar", `sum(depth{app="$APP_NAME"}) / scalar(sum(depth))`, `sum by (app) (depth{app=~"a|b"}) / scalar(sum(depth))`, none},
		{"time", `time() - max(timestamp(depth{app="$APP_NAME"}))`, `time() - max by (app) (timestamp(depth{app=~"a|b"}))`, none},
		{"two sums", `sum(a{app="$APP_NAME"}) / sum(b{app="$APP_NAME"})`, `sum by (app) (a{app=~"a|b"}) / sum by (app) (b{app=~"a|b"})`, none},
		{"two selectors", `a{app="$APP_NAME"} - b{app="$APP_NAME"}`, `a{app=~"a|b"} - b{app=~"a|b"}`, none},
		{"on", `sum(a{app="$APP_NAME"} / on (part) b{app="$APP_NAME"})`, `sum by (app) (a{app=~"a|b"} / on (part, app) b{app=~"a|b"})`, none},
		{"on, one side without the label", `sum(a{app="$APP_NAME"}) * on () b{app="$APP_NAME"}`, `sum by (app) (a{app=~"a|b"}) * on (app) b{app=~"a|b"}`, none},
		{"on the labels of by", `max(sum by (part) (a{app="$APP_NAME"}) / on (part) sum by (part) (b{app="$APP_NAME"}))`, `max by (app) (sum by (part, app) (a{app=~"a|b"}) / on (part, app) sum by (part, app) (b{app=~"a|b"}))`, none},
		{"or of sums by labels", `max(sum by (part) (a{app="$APP_NAME"}) or sum by (x) (b{app="$APP_NAME"}))`, `max by (app) (sum by (part, app) (a{app=~"a|b"}) or sum by (x, app) (b{app=~"a|b"}))`, none},
		{"ignoring", `sum(a{app="$APP_NAME"} / ignoring (part) b{app="$APP_NAME"})`, `sum by (app) (a{app=~"a|b"} / ignoring (part) b{app=~"a|b"})`, none},
		{"ignoring the label", `sum(a{app="$APP_NAME"} / ignoring (app, x) b{app="$APP_NAME"})`, `sum by (app) (a{app=~"a|b"} / ignoring (x) b{app=~"a|b"})`, none},
		{"and", `a{app="$APP_NAME"} and b{app="$APP_NAME"} > 1`, `a{app=~"a|b"} and (b{app=~"a|b"} > 1)`, none},
		{"or", `sum(a{app="$APP_NAME"}) or sum(b{app="$APP_NAME"})`, `sum by (app) (a{app=~"a|b"}) or sum by (app) (b{app=~"a|b"})`, none},
		{"only by day", `sum(a{app="$APP_NAME"}) and on () (hour() >= 8)`, `sum by (app) (a{app=~"a|b"}) and on () (hour() >= 8)`, none},

		{"or vector", `sum(depth{app="$APP_NAME"}) or vector(0)`, `sum by (app) (depth{app=~"a|b"})`, zero},
		{"or vector of a negative", `(max(depth{app="$APP_NAME"}) or vector(-1.5))`, `max by (app) (depth{app=~"a|b"})`, absent{-1.5, true}},
		{"or on vector", `sum(depth{app="$APP_NAME"}) or on () vector(0)`, `sum by (app) (depth{app=~"a|b"})`, zero},
		{"histogram or vector", `histogram_quantile(0.9, sum by (le) (b_bucket{app="$APP_NAME"})) or vector(0)`, `histogram_quantile(0.9, sum by (le, app) (b_bucket{app=~"a|b"}))`, zero},
		{"default", `depth{app="$APP_NAME"} default 0`, `depth{app=~"a|b"} default 0`, zero},
		{"templates", `WITH (f = {app="$APP_NAME"}, r(q) = sum(rate(q[5m]))) r(jobs{f})`, `sum by (app) (rate(jobs{app=~"a|b"}[5m]))`, none},
		{"rate without a window", `rate(jobs{app="$APP_NAME"})`, `rate(jobs{app=~"a|b"})`, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := prometheus.Group(tt.query, "")
			if err != nil {
				t.Fatalf("%s: %v", tt.query, err)
			}
			if diff := cmp.Diff(tt.want, g.Query([]scale.App{"a", "b"})); diff != "" {
				t.Errorf("%s differs (-want +got):\n%s", tt.query, diff)
			}
			if v, ok := g.Absent(); (absent{v, ok}) != tt.absent {
				t.Errorf("%s: absent apps have %v, %v; want %+v", tt.query, v, ok, tt.absent)
			}
			if want := strings.ReplaceAll(tt.want, `=~"a|b"`, `!=""`); g.Query(nil) != want {
				t.Errorf("for all apps: got %s, want %s", g.Query(nil), want)
			}
			// What is written is read as the same again, and left as it is.
			again, err := prometheus.Group(strings.ReplaceAll(tt.want, `=~"a|b"`, `="$APP_NAME"`), g.Label())
			if err != nil || again.Query([]scale.App{"a", "b"}) != tt.want {
				t.Errorf("grouped again: %s, %v; want %s", again.Query([]scale.App{"a", "b"}), err, tt.want)
			}
		})
	}
}

func TestGroupRefuses(t *testing.T) {
	tests := []struct{ query, want string }{
		{`sum(depth)`, "the same for all apps"},
		{`depth{app="$APP_NAMES"}`, "the same for all apps"},
		{`depth{app=~"$APP_NAME"}`, "must stand alone"},
		{`depth{app!="$APP_NAME"}`, "must stand alone"},
		{`depth{app="prod-$APP_NAME"}`, "must stand alone"},
		{`depth{app="$APP_NAME",queue="$APP_NAME"}`, "must stand alone"},
		{`depth{app="$APP_NAME",queue=~"$APP_NAME.*"}`, "must stand alone"},
		{`a{app="$APP_NAME"} / b{fly_app="$APP_NAME"}`, "must stand alone"},
		{`${APP_NAME}:depth`, "must stand alone"},
		{`{__name__="$APP_NAME"}`, "__name__ has a meaning"},
		{`{"$APP_NAME"}`, "__name__ has a meaning"},
		{`sum({app="$APP_NAME", "$APP_NAME"})`, "__name__ has a meaning"},
		{`depth{app="$APP_NAME"} * ("$APP_NAME" == bool "web")`, "must stand alone"},
		{`WITH (n = "$APP_NAME") depth{app=n} * (n == bool "web")`, "must stand alone"},
		{`WITH (x = 1, n = "$APP_NAME") depth{app=n} * (n == bool "web")`, "must stand alone"},
		{`WITH (f = {app="$APP_NAME"}) sum(depth)`, "must stand alone"},
		{`depth{le="$APP_NAME"}`, "meaning of its own"},
		{`depth{"a.b"="$APP_NAME"}`, "letters, digits and underscores"},
		{`sum by ("a.b") (depth{app="$APP_NAME"})`, "letters, digits and underscores"},
		{`depth{app="$APP_NAME" or x="1"}`, "every alternative"},
		{`sum(`, "the same for all apps"},
		{`sum(depth{app="$APP_NAME"}`, "cannot be read as PromQL"},
		{`nosuch(depth{app="$APP_NAME"})`, `unsupported function "nosuch"`},

		{`topk(1, depth{app="$APP_NAME"})`, "topk picks series across apps"},
		{`bottomk(1, depth{app="$APP_NAME"})`, "bottomk picks series across apps"},
		{`limitk(1, depth{app="$APP_NAME"})`, "limitk picks series across apps"},
		{`any(depth{app="$APP_NAME"})`, "any picks series across apps"},
		{`sum(depth{app="$APP_NAME"}) limit 1`, "limit picks series across apps"},
		{`count_values("app", depth{app="$APP_NAME"})`, "makes a label"},
		{`quantiles("app", 0.1, 0.9, depth{app="$APP_NAME"})`, "not known"},
		{`sum(a{app="$APP_NAME"}, b{app="$APP_NAME"})`, "several arguments"},
		{`sum(a{app="$APP_NAME"}, b)`, "neither a number nor about the app"},
		{`quantile(depth{app="$APP_NAME"}, 1)`, "neither a number nor about the app"},
		{`quantile(b, depth{app="$APP_NAME"})`, "neither a number nor about the app"},

		{`scalar(depth{app="$APP_NAME"})`, "scalar makes one number"},
		{`sum(x) * scalar(depth{app="$APP_NAME"})`, "scalar makes one number"},
		{`vector(scalar(depth{app="$APP_NAME"}))`, "scalar makes one number"},
		{`absent(depth{app="$APP_NAME"})`, "no row"},
		{`absent_over_time(depth{app="$APP_NAME"}[5m])`, "no row"},
		{`label_replace(depth{app="$APP_NAME"}, "app", "x", "part", ".*")`, "label_replace changes labels"},
		{`label_set(depth{app="$APP_NAME"}, "app", "x")`, "label_set changes labels"},
		{`alias(depth{app="$APP_NAME"}, "x")`, "label_set changes labels"},
		{`union(a{app="$APP_NAME"})`, "list of queries"},
		{`(a{app="$APP_NAME"}, b{app="$APP_NAME"})`, "several arguments"},
		{`count_values_over_time("app", depth{app="$APP_NAME"}[5m])`, "not known"},
		{`running_sum(depth{app="$APP_NAME"})`, "not known"},
		{`rate(depth{app="$APP_NAME"}[5m]) keep_metric_names`, "keep_metric_names"},
		{`(a{app="$APP_NAME"} / b{app="$APP_NAME"}) keep_metric_names`, "keep_metric_names"},
		{`depth @ (sum(b{app="$APP_NAME"}))`, "time after @"},

		{`sum(a{app="$APP_NAME"}) / sum(b)`, "make a number of it with scalar"},
		{`sum(b) - sum(a{app="$APP_NAME"})`, "make a number of it with scalar"},
		{`sum(a{app="$APP_NAME"}) and hour() > 8`, "make a number of it with scalar"},
		{`a{app="$APP_NAME"} and on (app) b`, "make a number of it with scalar"},
		{`b and on (part) a{app="$APP_NAME"}`, "make a number of it with scalar"},
		{`a{app="$APP_NAME"} * on (part) group_left () b{app="$APP_NAME"}`, "group_left takes labels"},
		{`a{app="$APP_NAME"} / ignoring (part) group_right (x) b{app="$APP_NAME"}`, "group_right takes labels"},
		{`sum(a{app="$APP_NAME"}) / b{app="$APP_NAME"}`, "one side of \"/\" carries the label app"},
		{`a{app="$APP_NAME"} or sum(b{app="$APP_NAME"})`, "one side of \"or\" carries the label app"},
		{`a{app="$APP_NAME"} or on () sum(b{app="$APP_NAME"})`, "one side of \"or\" carries the label app"},
		{`sum(a{app="$APP_NAME"}) / on (app) b{app="$APP_NAME"}`, "one side of \"/\" carries the label app"},
		{`sum(a{app="$APP_NAME"}) / sum by (part) (b{app="$APP_NAME"})`, "write on(…)"},
		{`max(sum by (part) (a{app="$APP_NAME"}) / sum by (part) (b{app="$APP_NAME"}))`, "write on(…)"},
		{`a{app="$APP_NAME"} if b{app="$APP_NAME"}`, "only as \"default\""},
		{`(a{app="$APP_NAME"} default 0) + 1`, "only as \"default\""},
		{`a{app="$APP_NAME"} default b{app="$APP_NAME"}`, "only as \"default\""},
		{`a{app="$APP_NAME"} default on (x) 0`, "modifier of \"default\""},

		{`(sum(a{app="$APP_NAME"}) or vector(0)) + 1`, "only at the end"},
		{`sum(a{app="$APP_NAME"} or vector(0))`, "only at the end"},
		{`depth{app="$APP_NAME"} or vector(0)`, "has no labels left"},
		{`sum by (app) (depth{app="$APP_NAME"}) or vector(0)`, "has no labels left"},
		{`depth{app="$APP_NAME"} or on () vector(0)`, "has no labels left"},
		{`sum by (part) (depth{app="$APP_NAME"}) or vector(0)`, "has no labels left"},
		{`sum(depth{app="$APP_NAME"}) or vector(time())`, "make a number of it"},
		{`vector(0) or sum(depth{app="$APP_NAME"})`, "make a number of it"},
		{`sum(depth{app="$APP_NAME",x="` + strings.Repeat("y", 15000) + `"})`, "longer than"},
	}
	for _, tt := range tests {
		g, err := prometheus.Group(tt.query, "")
		refused, ok := errors.AsType[*prometheus.RefusedError](err)
		switch {
		case err == nil:
			t.Errorf("%s became %s", tt.query, g.Query([]scale.App{"a", "b"}))
		case !ok || !strings.Contains(refused.Reason, tt.want) || strings.Contains(refused.Reason, "app-name"):
			t.Errorf("%s: %v, want a refusal with %q", tt.query, err, tt.want)
		}
	}
}

func TestGroupLabel(t *testing.T) {
	query := `a{app="$APP_NAME"} / b{fly_app="$APP_NAME"}`
	for _, label := range []string{"app", "fly_app", "part"} {
		if g, err := prometheus.Group(query, label); err == nil {
			t.Errorf("by %s: %s became %s", label, query, g.Query(nil))
		}
	}
	g, err := prometheus.Group(`a{app="$APP_NAME"}`, "app")
	if err != nil || g.Label() != "app" {
		t.Errorf("label %q, error %v", g.Label(), err)
	}
}

// TestGroupQueryEscapes enters names that no app has.
func TestGroupQueryEscapes(t *testing.T) {
	g, err := prometheus.Group(`depth{app="$APP_NAME"}`, "")
	if err != nil {
		t.Fatal(err)
	}
	for want, apps := range map[string][]scale.App{
		`depth{app="web"}`:                {"web"},
		`depth{app="a\"b\\c.d"}`:          {`a"b\c.d`},
		`depth{app=~"a\"b\\\\c\\.d|e"}`:   {`a"b\c.d`, "e"},
		`depth{app=~"a\\|b|\\(c\\)\x0a"}`: {"a|b", "(c)\n"},
	} {
		if got := g.Query(apps); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// FuzzGroup looks for queries that stop the rewriting, or that come out as ones
// that cannot be read.
func FuzzGroup(f *testing.F) {
	for _, query := range []string{
		`sum(depth{app="$APP_NAME"})`, "depth{app='${APP_NAME}'} # $APP_NAME", `WITH (f = {app="$APP_NAME"}) x{f} default 0`,
		`a{app="$APP_NAME"} / on (b) group_left (c) d[5m:1m] offset -1h @ end()`, `{"a.b", app=` + "`$APP_NAME`" + `, c=~"\x41"}`,
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		g, err := prometheus.Group(query, "")
		if err != nil {
			if _, ok := errors.AsType[*prometheus.RefusedError](err); !ok {
				t.Fatalf("%q: %v", query, err)
			}
			return
		}
		text := g.Query([]scale.App{"a", "b"})
		again, err := prometheus.Group(strings.ReplaceAll(text, fmt.Sprintf(`%s=~"a|b"`, g.Label()), g.Label()+`="$APP_NAME"`), g.Label())
		if err != nil || again.Query([]scale.App{"a", "b"}) != text {
			t.Fatalf("%q became %q, and that %q, %v", query, text, again.Query([]scale.App{"a", "b"}), err)
		}
	})
}
