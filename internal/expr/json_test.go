package expr_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// A program that was written and read is the same one: it gives the same and asks
// for the same. Metrics that hide names of ours go on hiding them.
func TestProgramJSON(t *testing.T) {
	t.Parallel()
	metrics := []string{"queue", "started", "hour", "unused"}
	now := time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC)
	env := expr.Env{
		Metrics: map[string]float64{"queue": 71, "started": 1000, "hour": 3},
		Counts:  expr.Counts{Created: 9, Started: 4}, Now: now,
		History: func(string) []scale.Point {
			return []scale.Point{{At: now.Add(-time.Hour), Value: 3}, {At: now, Value: 71}}
		},
	}
	for _, src := range []string{
		"ceil(queue / 10)", "started + created", "hour", "minute()", `let a = queue < 9 && true ? 1 : 2; a`, "7",
		`avg_over(queue, "5m")`, "queue ?? 3",
	} {
		p, err := expr.Compile(src, metrics)
		if err != nil {
			t.Errorf("compile %q: %v", src, err)
			continue
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var got *expr.Program
		if err := json.Unmarshal(data, &got); err != nil {
			t.Errorf("read %s: %v", data, err)
			continue
		}
		want, wantErr := p.Run(env)
		result, err := got.Run(env)
		if result != want || (err == nil) != (wantErr == nil) || got.String() != src || got.Fixed() != p.Fixed() || len(got.History()) != len(p.History()) {
			t.Errorf("%q gives %v, %v, and once written and read %v, %v", src, want, wantErr, result, err)
		}
	}
	for _, bad := range []string{`{"source":"queue"}`, `{"source":"1","more":2}`, `[]`, `{}`} {
		var p *expr.Program
		if err := json.Unmarshal([]byte(bad), &p); err == nil {
			t.Errorf("%s is read without an error", bad)
		}
	}
}
