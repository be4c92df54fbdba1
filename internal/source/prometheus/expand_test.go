package prometheus_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source/prometheus"
)

func TestExpand(t *testing.T) {
	tests := []struct {
		name, query string
		app         scale.App
		want        string
		wantErr     string
	}{
		{"no variable", `sum(x)`, "web", `sum(x)`, ""},
		{"double quotes", `x{app="$APP_NAME"}`, "web", `x{app="web"}`, ""},
		{"single quotes, braces", `x{app='${APP_NAME}'}`, "web", `x{app='web'}`, ""},
		{"twice", `x{app="$APP_NAME"} / y{app="${APP_NAME}"}`, "web", `x{app="web"} / y{app="web"}`, ""},
		{"inside text", `x{queue="jobs-$APP_NAME.v1"}`, "web", `x{queue="jobs-web.v1"}`, ""},
		{"longer identifier", `x{a="$APP_NAME_SUFFIX",b="$APP_NAMES",c="$APP_NAME2",d="${APP_NAMES}"}`, "web", `x{a="$APP_NAME_SUFFIX",b="$APP_NAMES",c="$APP_NAME2",d="${APP_NAMES}"}`, ""},
		{"other dollars", `label_replace(x{app="$APP_NAME"},"a","$1-$$","b","^(.*)$")`, "web", `label_replace(x{app="web"},"a","$1-$$","b","^(.*)$")`, ""},
		{"quote", `x{app="$APP_NAME"}`, `a"b'c\d`, `x{app="a\"b'c\\d"}`, ""},
		{"quote, single quotes", `x{app='$APP_NAME'}`, `a"b'c\d`, `x{app='a"b\'c\\d'}`, ""},
		{"control characters", `x{app="$APP_NAME"}`, "a\n\x00\x7f", `x{app="a\x0a\x00\x7f"}`, ""},
		{"broken text", `x{app="$APP_NAME"}`, "é\xff\uFFFD", `x{app="é\xff\ufffd"}`, ""},
		{"pattern", `x{app=~"$APP_NAME"}`, "a.b|c", `x{app=~"a\\.b\\|c"}`, ""},
		{"negated pattern, spaces, comment", "x{app !~ # not\n '$APP_NAME-.*'}", "a.b", "x{app !~ # not\n 'a\\\\.b-.*'}", ""},
		{"pattern, then text", `x{a=~"b",app="$APP_NAME"}`, "a.b", `x{a=~"b",app="a.b"}`, ""},
		{"backquotes", "x{app=`$APP_NAME`}", `a"\`, "x{app=`a\"\\`}", ""},
		{"pattern in backquotes", "x{app=~`$APP_NAME`}", `a.b`, "x{app=~`a\\.b`}", ""},
		{"backquote in backquotes", "x{app=`$APP_NAME`}", "a`b", "", "backquoted"},
		{"outside", `${APP_NAME}:depth`, "web", `web:depth`, ""},
		{"outside, no app name", `$APP_NAME`, "web or vector(1)", "", "outside of quotes"},
		{"no name", `x{app="$APP_NAME"}`, "", "", "empty"},
		{"no name, no variable", `sum(x)`, "", `sum(x)`, ""},
		{"comment", "x # don't $APP_NAME\n+y{app=\"$APP_NAME\"}", `"`, "x # don't $APP_NAME\n+y{app=\"\\\"\"}", ""},
		{"hash in a string", `x{a="#",app="$APP_NAME"}`, "web", `x{a="#",app="web"}`, ""},
		{"escaped quote before", `x{a="\"",app="$APP_NAME"}`, "a'b", `x{a="\"",app="a'b"}`, ""},
		{"backslash before", `x{a="\$APP_NAME"}`, "web", `x{a="\$APP_NAME"}`, ""},
		{"unfinished escape before", `x{a="\x4$APP_NAME"}`, "a", `x{a="\x4$APP_NAME"}`, ""},
		{"escaped quote in a MetricsQL name", `x\"y{app="$APP_NAME"}`, `a"b`, `x\"y{app="a\"b"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := prometheus.Expand(tt.query, tt.app)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("got %q, error %v, want an error with %q", got, err, tt.wantErr)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got  %s, error %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// TestExpandKeepsStructure expands queries with any name and asks the judge of
// the language: the server's own parser.
func TestExpandKeepsStructure(t *testing.T) {
	queries := []string{
		`sum(x{app="$APP_NAME"})`,
		`sum(x{app='${APP_NAME}'}) / on() y{a="b"}`,
		"x{app=`$APP_NAME`}",
		`max_over_time(x{a!="\"",app="$APP_NAME"}[5m:1m]) # '`,
		`x{app=~"$APP_NAME"}`,
		`x{app=~'$APP_NAME'} or y{b=~".+"}`,
		"x{app!~`${APP_NAME}`}",
	}
	rapid.Check(t, func(t *rapid.T) {
		query := rapid.SampledFrom(queries).Draw(t, "query")
		name := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching("[a-z0-9]{0,3}[\"'`\\\\{}|.*+?()\\[\\]$#^\n\r\t ]{1,4}[a-zA-Z0-9=~, ]{0,6}"),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		).Draw(t, "name")
		checkStructure(t, query, name)
	})
}

// fataler is what checkStructure needs of a test of any sort.
type fataler interface {
	Fatalf(format string, args ...any)
}

// checkStructure checks that the query, expanded with the name, differs from
// the query expanded with another name only in the values of the matchers that
// hold it, and that these say the name.
func checkStructure(t fataler, query, name string) {
	const plain = "zqx0plain0zqx"
	parse := parser.NewParser(parser.Options{})
	want, err := prometheus.Expand(query, plain)
	if err != nil {
		t.Fatalf("expand %q: %v", query, err)
	}
	wantTree, err := parse.ParseExpr(want)
	if err != nil {
		return // The user's query is broken by itself.
	}
	got, err := prometheus.Expand(query, scale.App(name))
	if err != nil {
		if name == "" || strings.ContainsAny(query, "`") || !strings.Contains(query, `"`) && !strings.Contains(query, `'`) {
			return
		}
		t.Fatalf("expand %q with %q: %v", query, name, err)
	}
	gotTree, err := parse.ParseExpr(got)
	if err != nil {
		if strings.Contains(query, "~") && strings.ToValidUTF8(name, "") != name {
			return // No pattern matches broken text; the server refuses it.
		}
		t.Fatalf("%q with %q is %q, which does not parse: %v", query, name, got, err)
	}
	wantNodes, wantMatchers := shape(wantTree)
	gotNodes, gotMatchers := shape(gotTree)
	if wantNodes != gotNodes || len(wantMatchers) != len(gotMatchers) {
		t.Fatalf("%q with %q is %q, of another structure:\n%s\nwant\n%s", query, name, got, gotNodes, wantNodes)
	}
	for i, m := range gotMatchers {
		value := name
		if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
			value = regexp.QuoteMeta(name)
		}
		if want := strings.ReplaceAll(wantMatchers[i].Value, plain, value); m.Value != want {
			t.Fatalf("%q with %q matches %s, want the value %q", query, name, m, want)
		}
		if m.Name == "app" && m.Type == labels.MatchRegexp && wantMatchers[i].Value == plain && !m.Matches(name) {
			t.Fatalf("%q with %q has the pattern %s, which does not match the name", query, name, m)
		}
	}
}

// shape returns the tree of a query without the values of matchers, and the
// matchers in the order of the tree.
func shape(tree parser.Expr) (nodes string, matchers []*labels.Matcher) {
	var b strings.Builder
	parser.Inspect(tree, func(node parser.Node, path []parser.Node) error {
		if node == nil {
			return nil
		}
		fmt.Fprintf(&b, "%*s%T\n", len(path), "", node)
		if selector, ok := node.(*parser.VectorSelector); ok {
			for _, m := range selector.LabelMatchers {
				fmt.Fprintf(&b, "%*s%s %s\n", len(path)+1, "", m.Name, m.Type)
			}
			matchers = append(matchers, selector.LabelMatchers...)
		}
		return nil
	})
	return b.String(), matchers
}

func FuzzExpand(f *testing.F) {
	for _, query := range []string{
		`sum(x{app="$APP_NAME"})`, `x{app=~'${APP_NAME}-.*'}`, "x{app=`$APP_NAME`}", `$APP_NAME`, `x{a="\x4$APP_NAME"}`,
		"x # $APP_NAME\n{app=\"$APP_NAME\"}",
	} {
		f.Add(query, "web")
		f.Add(query, `"} or vector(1) #`)
	}
	f.Fuzz(func(t *testing.T, query, name string) {
		got, err := prometheus.Expand(query, scale.App(name))
		if err == nil && !strings.Contains(query, "APP_NAME") && got != query {
			t.Fatalf("%q without the variable became %q", query, got)
		}
		if err != nil && source.ValidApp(scale.App(name)) {
			t.Fatalf("the valid name %q was refused: %v", name, err)
		}
		if inStringsOnly(query) {
			checkStructure(t, query, name)
		}
	})
}

// inStringsOnly reports whether a query has the variable in quoted matcher
// values only, where every name must work: a name that is not valid outside of
// strings is accepted, and the value of no other string changes.
func inStringsOnly(query string) bool {
	if strings.ContainsAny(query, "`") {
		return false
	}
	if _, err := prometheus.Expand(query, "not valid"); err != nil {
		return false
	}
	const plain = "zqx0plain0zqx"
	text, err := prometheus.Expand(query, plain)
	if err != nil {
		return false
	}
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return false
	}
	_, matchers := shape(tree)
	count := 0
	for _, m := range matchers {
		if m.Name != "__name__" {
			count += strings.Count(m.Value, plain)
		}
		if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
			// In a class or after a backslash of the user's own the name is not a
			// piece of a pattern by itself.
			if strings.Contains(m.Value, plain) && strings.ContainsAny(m.Value, `[\`) {
				return false
			}
		}
	}
	return count > 0 && count == strings.Count(text, plain)
}

func TestExpandErrorsAreNotEmptiness(t *testing.T) {
	if _, err := prometheus.Expand(`$APP_NAME`, "a b"); errors.Is(err, source.ErrEmpty) {
		t.Errorf("error %v says the metric is empty", err)
	}
}
