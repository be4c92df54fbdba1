package sim_test

import (
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

const inlineTrace = `unix_seconds,value
600,60
660,120
720,0
`

func TestShapes(t *testing.T) {
	for _, tc := range []struct {
		name string
		yaml string
		want map[time.Duration]float64
	}{
		{"number", "2.5", map[time.Duration]float64{0: 2.5, time.Hour: 2.5}},
		{"constant", "constant: 3", map[time.Duration]float64{0: 3, time.Hour: 3}},
		{
			"steps in any order", "steps: [{at: 2m, value: 9}, {at: 10s, value: 4}]",
			map[time.Duration]float64{0: 0, 9 * time.Second: 0, 10 * time.Second: 4, 2*time.Minute - 1: 4, 2 * time.Minute: 9, time.Hour: 9},
		},
		{
			"ramp", "ramp: {from: 10, to: 0, start: 1m, over: 2m}",
			map[time.Duration]float64{0: 10, time.Minute: 10, 2 * time.Minute: 5, 3 * time.Minute: 0, time.Hour: 0},
		},
		{
			"sine begins at the trough", "sine: {min: 2, max: 6, period: 4h}",
			map[time.Duration]float64{0: 2, time.Hour: 4, 2 * time.Hour: 6, 3 * time.Hour: 4, 8 * time.Hour: 2},
		},
		{
			"sine with a phase", "sine: {min: 2, max: 6, period: 4h, phase: 2h}",
			map[time.Duration]float64{0: 6, 2 * time.Hour: 2},
		},
		{
			"pulse once", "pulse: {base: 1, value: 8, at: 10s, for: 5s}",
			map[time.Duration]float64{0: 1, 10 * time.Second: 8, 15*time.Second - 1: 8, 15 * time.Second: 1, 70 * time.Second: 1},
		},
		{
			"pulse again and again", "pulse: {value: 8, at: 10s, for: 5s, every: 1m}",
			map[time.Duration]float64{0: 0, 10 * time.Second: 8, 20 * time.Second: 0, 70 * time.Second: 8, 74 * time.Second: 8, 75 * time.Second: 0},
		},
		{
			"sum", "sum: [1, {constant: 2}, {steps: [{at: 1s, value: 4}]}]",
			map[time.Duration]float64{0: 3, time.Second: 7},
		},
		{
			"trace as rates", "trace: {csv: " + quoted(inlineTrace) + "}",
			map[time.Duration]float64{0: 1, 59 * time.Second: 1, time.Minute: 2, 2 * time.Minute: 0, 3 * time.Minute: 0, -time.Second: 0},
		},
		{
			"trace as levels, scaled", "trace: {csv: " + quoted(inlineTrace) + ", levels: true, scale: 0.5}",
			map[time.Duration]float64{0: 30, time.Minute: 60},
		},
		{
			"trace faster keeps the rate", "trace: {csv: " + quoted(inlineTrace) + ", speed: 60}",
			map[time.Duration]float64{0: 1, time.Second: 2, 2 * time.Second: 0},
		},
		{
			"trace repeated from the middle", "trace: {csv: " + quoted(inlineTrace) + ", repeat: true, skip: 1m}",
			map[time.Duration]float64{0: 2, time.Minute: 0, 2 * time.Minute: 1, 5 * time.Minute: 1},
		},
		{
			"trace in straight lines", "trace: {csv: " + quoted(inlineTrace) + ", smooth: true}",
			map[time.Duration]float64{30 * time.Second: 1, time.Minute: 1.5, 90 * time.Second: 2, 2 * time.Minute: 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var spec sim.ShapeSpec
			if err := yaml.Load([]byte(tc.yaml), &spec, yaml.WithKnownFields()); err != nil {
				t.Fatal(err)
			}
			if err := spec.Validate(); err != nil {
				t.Fatal(err)
			}
			shape, err := spec.Build(nil)
			if err != nil {
				t.Fatal(err)
			}
			for at, want := range tc.want {
				if got := shape(at); math.Abs(got-want) > 1e-9 {
					t.Errorf("at %v: got %v, want %v", at, got, want)
				}
			}
		})
	}
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"` }

func TestShapeProblems(t *testing.T) {
	for _, tc := range []struct {
		name, yaml string
		want       []string
	}{
		{"none", "{}", []string{": 0 shapes given, want exactly one of constant, steps, ramp, sine, pulse, trace, sum"}},
		{"two", "{constant: 1, sum: [2]}", []string{": 2 shapes given, want exactly one of constant, steps, ramp, sine, pulse, trace, sum"}},
		{"all fields of one", "sine: {min: 5, max: 1}", []string{
			"sine.period: 0s is not a length of time, want more than 0s", "sine.min: 5 is more than max 1",
		}},
		{"inside a sum", "sum: [1, {ramp: {from: 1, to: 2, over: -1s}}]", []string{
			"sum[1].ramp.over: -1s is not a length of time, want more than 0s",
		}},
		{"pulse", "pulse: {value: 1, at: 0s, for: 2m, every: 1m}", []string{"pulse.every: 1m0s is not longer than the pulse of 2m0s"}},
		{"trace", "trace: {speed: -1, skip: -1s}", []string{
			"trace: want either file or csv", "trace.speed: -1 is not a speed, want a number above 0", "trace.skip: -1s is negative",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var spec sim.ShapeSpec
			if err := yaml.Load([]byte(tc.yaml), &spec); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, messages(spec.Validate())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// messages splits a joined error.
func messages(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestShapeUnknownKey(t *testing.T) {
	var spec sim.ShapeSpec
	err := yaml.Load([]byte("sine: {min: 1, max: 2, periode: 1h}"), &spec)
	if err == nil || !strings.Contains(err.Error(), "periode") {
		t.Errorf("got %v, want an error that names the key", err)
	}
}

func TestReadTraceErrors(t *testing.T) {
	for _, tc := range []struct{ name, csv, want string }{
		{"empty", "", "a trace needs at least two rows"},
		{"header", "time,value\n1,2\n", `line 1: the header is "time,value", want "unix_seconds,value"`},
		{"one row", "unix_seconds,value\n1,2\n", "a trace needs at least two rows"},
		{"no comma", "unix_seconds,value\n1\n", `line 2: row "1" has no comma`},
		{"time", "unix_seconds,value\n1.5,2\n", `line 2: time "1.5" is not a whole number of seconds`},
		{"value", "unix_seconds,value\n1,NaN\n", `line 2: value "NaN" is not a finite number`},
		{"order", "unix_seconds,value\n2,0\n1,0\n", "line 3: time 1 does not come after 2"},
		{"gap", "unix_seconds,value\n0,0\n10,0\n30,0\n", "line 4: time 30 does not follow 10 by the step of 10 s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := sim.ReadTrace(strings.NewReader(tc.csv))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestTraceFile(t *testing.T) {
	spec := sim.ShapeSpec{Trace: &sim.TraceSpec{File: "day.csv"}}
	if _, err := spec.Build(nil); err == nil || err.Error() != "open trace day.csv: files cannot be read here" {
		t.Errorf("without a way to open: got %v", err)
	}
	missing := func(string) (io.ReadCloser, error) { return nil, os.ErrNotExist }
	if _, err := spec.Build(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v, want %v", err, os.ErrNotExist)
	}
	shape, err := spec.Build(func(name string) (io.ReadCloser, error) {
		if name != "day.csv" {
			return nil, os.ErrNotExist
		}
		return io.NopCloser(strings.NewReader(inlineTrace)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := shape(time.Minute); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
}
