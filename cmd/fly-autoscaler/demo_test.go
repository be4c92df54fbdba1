package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

var demoBegin = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// demoMoment is a story in its twelfth second.
func demoMoment(t *testing.T) (*demoStory, time.Time) {
	t.Helper()
	s := newDemoStory(demoBegin, 30*time.Second)
	machines := func(region scale.Region, states ...scale.State) (out []demoMachine) {
		for _, state := range states {
			out = append(out, demoMachine{State: state, Region: region})
		}
		return out
	}
	s.platform(append(machines("iad", "started", "started", "stopped"), machines("ord", "starting", "destroying")...))
	for i := range 24 {
		var p demoPass
		p.Samples = append(p.Samples, struct {
			Metric  string  `json:"metric"`
			Value   float64 `json:"value"`
			Quality string  `json:"quality"`
		}{demoMetric, float64(2 + 8*i), "fresh"})
		p.Want = scale.Count{Created: 7, Started: 5}
		s.pass(p)
		s.tick(demoBegin.Add(time.Duration(i) * demoSampling))
	}
	for _, line := range []string{
		`{"time":"2026-01-01T12:00:00.2Z","level":"INFO","msg":"serving","address":"127.0.0.1:1"}`,
		`{"time":"2026-01-01T12:00:03.1Z","level":"INFO","msg":"scale","decision":"created 4 → 6, started 2 → 5: created min(ceil(jobs / 25) + 3, 10) = 6, started min(ceil(jobs / 20) + 1, 9) = 5 with jobs 70"}`,
		`{"time":"2026-01-01T12:00:04.9Z","level":"INFO","msg":"action","verb":"create","result":"done"}`,
		`{"time":"2026-01-01T12:00:07Z","level":"WARN","msg":"action","verb":"create","result":"refused","reason":"no room in ord"}`,
		`{"time":"2026-01-01T12:00:10Z","level":"WARN","msg":"pass failed","error":"list machines for app \"worker\": 503"}`,
	} {
		entry, ok := parseLogEntry(line)
		if !ok {
			t.Fatalf("not an entry: %s", line)
		}
		s.log(entry)
	}
	return s, demoBegin.Add(12*time.Second + 300*time.Millisecond)
}

func TestDemoPicture(t *testing.T) {
	s, now := demoMoment(t)
	const want = `
 fly-autoscaler demo: the real autoscaler, a simulated Fly.io        12s of 30s
 started = min(ceil(jobs / 20) + 1, 9)   created = min(ceil(jobs / 25) + 3, 10)

 jobs       186                     ▁▂▄▅▇█
                              ▁▂▄▅▆███████
                        ▁▂▃▅▆▇████████████
                  ▁▂▃▄▆▇██████████████████

 started      2
 wanted       5
 created      4   ▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅

 iad ██░   ord ▒                              █ started  ▒ changing  ░ stopped

   3s  created 4 → 6, started 2 → 5: created min(ceil(jobs / 25) + 3, 10) = 6,
       started min(ceil(jobs / 20) + 1, 9) = 5 with jobs 70
   7s  action create refused: no room in ord
  10s  pass failed: list machines for app "worker": 503
`
	got := "\n" + strings.Join(drawDemo(s, now, 79, 23, false), "\n") + "\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("picture (-want +got):\n%s", diff)
	}
}

// Whatever the terminal's size, the picture stays within it, and colours change
// nothing but colours.
func TestDemoPictureFits(t *testing.T) {
	s, now := demoMoment(t)
	for width := demoLeastWidth - 1; width < demoWidth; width += 5 {
		for height := demoLeastHeight - 1; height < demoHeight; height++ {
			plain := drawDemo(s, now, width, height, false)
			if len(plain) > height {
				t.Errorf("%d rows in %d×%d", len(plain), width, height)
			}
			for _, line := range plain {
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("%d columns in %d×%d: %s", n, width, height, line)
				}
			}
			coloured := stripColours(strings.Join(drawDemo(s, now, width, height, true), "\n"))
			var got []string
			for line := range strings.SplitSeq(coloured, "\n") {
				got = append(got, strings.TrimRight(line, " "))
			}
			if diff := cmp.Diff(plain, got); diff != "" {
				t.Fatalf("colours change the text (-plain +coloured):\n%s", diff)
			}
		}
	}
}

func stripColours(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, s, _ = strings.Cut(after, "m")
	}
}

func TestDemoLines(t *testing.T) {
	s, now := demoMoment(t)
	var b strings.Builder
	p := &plainScreen{out: &b, second: -1}
	p.draw(s, now)
	p.draw(s, now.Add(demoFrame)) // the same second, nothing new
	const want = `   3s  created 4 → 6, started 2 → 5: created min(ceil(jobs / 25) + 3, 10) = 6, started min(ceil(jobs / 20) + 1, 9) = 5 with jobs 70
   7s  warning: action create refused: no room in ord
  10s  warning: pass failed: list machines for app "worker": 503
  12s  jobs 186, started 2 of 5, created 4 of 7  iad ██░   ord ▒
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestSwing(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   string
		size   float64
	}{
		{"nothing", nil, "0 → 0 → 0", 0},
		{"level", []float64{5, 5}, "5 → 5 → 5", 0},
		{"rising", []float64{2, 9}, "2 → 9 → 9", 0},
		{"falling", []float64{9, 2}, "9 → 9 → 2", 0},
		{"a wave", []float64{2, 9, 3}, "2 → 9 → 3", 6},
		{"below its start", []float64{4, 9, 1}, "4 → 9 → 1", 5},
		{"the second is greater", []float64{2, 5, 1, 9, 3}, "1 → 9 → 3", 6},
		{"the second is not over", []float64{2, 9, 3, 12}, "2 → 9 → 3", 6},
		{"two steps up", []float64{2, 6, 5, 9, 2}, "2 → 9 → 2", 7},
		{"a dip first", []float64{5, 1, 9, 3}, "1 → 9 → 3", 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s swing
			for _, v := range tt.values {
				s.observe(v)
			}
			if got := s.String(); got != tt.want || s.size() != tt.size {
				t.Errorf("got %s of size %g, want %s of size %g", got, s.size(), tt.want, tt.size)
			}
		})
	}
}

func TestDemoVerdict(t *testing.T) {
	up := func(load, machines []float64, after time.Duration) demoOutcome {
		s := newDemoStory(demoBegin, 0)
		for _, v := range load {
			s.load.observe(v)
		}
		for _, v := range machines {
			s.machines.observe(v)
		}
		_, outcome := s.verdict(demoBegin.Add(after))
		return outcome
	}
	wave, flat := []float64{2, 170, 3}, []float64{2, 2, 2}
	tests := []struct {
		name           string
		load, machines []float64
		after          time.Duration
		want           demoOutcome
	}{
		{"both go up and down", wave, []float64{2, 9, 2}, 30 * time.Second, demoFollowed},
		{"Machines stay", wave, flat, 30 * time.Second, demoLost},
		{"Machines go up and not down", wave, []float64{2, 9, 8}, 30 * time.Second, demoLost},
		{"Machines go up a little", wave, []float64{2, 4, 2}, 30 * time.Second, demoLost},
		{"no load", flat, []float64{2, 9, 2}, 30 * time.Second, demoLost},
		{"not over", []float64{2, 170}, []float64{2, 9}, 10 * time.Second, demoTooEarly},
		{"Machines are on their way down", wave, []float64{2, 9, 8}, 22 * time.Second, demoTooEarly},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := up(tt.load, tt.machines, tt.after); got != tt.want {
				t.Errorf("got outcome %d, want %d", got, tt.want)
			}
		})
	}
}

func TestFindFlysim(t *testing.T) {
	beside, onPath, nowhere := t.TempDir(), t.TempDir(), t.TempDir()
	for _, dir := range []string{beside, onPath} {
		if err := os.WriteFile(filepath.Join(dir, "flysim"), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", onPath)
	for dir, want := range map[string]string{beside: filepath.Join(beside, "flysim"), nowhere: filepath.Join(onPath, "flysim")} {
		if got, err := findFlysim(filepath.Join(dir, "fly-autoscaler")); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	t.Setenv("PATH", "")
	_, err := findFlysim(filepath.Join(nowhere, "fly-autoscaler"))
	if err == nil || !strings.Contains(err.Error(), "run make build") {
		t.Errorf("got error %v, want what to do about it", err)
	}
}

// A part that dies says what it died of, one that hears SIGTERM ends at once, and
// one that does not is killed.
func TestChild(t *testing.T) {
	start := func(script string) *child {
		return startChild(t.Context(), &child{name: "part", path: "/bin/sh", args: []string{"-c", script}, stdin: "said to it\n"})
	}
	await := func(t *testing.T, c *child, want string) error {
		t.Helper()
		_, err := awaitLine(t.Context(), c, 10*time.Second, func(line string) (string, bool) { return line, line == want })
		return err
	}
	t.Run("dies", func(t *testing.T) {
		c := start("cat; echo the port is taken >&2; exit 3")
		defer c.stop()
		if err := await(t, c, "said to it"); err != nil {
			t.Fatal(err)
		}
		err := await(t, c, "ready")
		if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "part: the port is taken") {
			t.Errorf("got error %v, want status and last words", err)
		}
	})
	t.Run("has an empty environment", func(t *testing.T) {
		t.Setenv("FAS_SURPRISE", "1")
		c := start(`echo "[$FAS_SURPRISE]"`)
		defer c.stop()
		if err := await(t, c, "[]"); err != nil {
			t.Error(err)
		}
	})
	t.Run("ends", func(t *testing.T) {
		c := start("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done")
		if err := await(t, c, "ready"); err != nil {
			t.Fatal(err)
		}
		c.stop()
		if strings.Contains(c.died().Error(), "killed") {
			t.Errorf("%v, want an end by itself", c.died())
		}
	})
	t.Run("is killed", func(t *testing.T) {
		c := start("trap '' TERM; echo ready; while :; do sleep 0.01; done")
		if err := await(t, c, "ready"); err != nil {
			t.Fatal(err)
		}
		c.stop()
		if !strings.Contains(c.died().Error(), "killed") {
			t.Errorf("%v, want a kill", c.died())
		}
	})
	t.Run("cannot be started", func(t *testing.T) {
		c := startChild(t.Context(), &child{name: "part", path: filepath.Join(t.TempDir(), "none")})
		defer c.stop()
		if err := await(t, c, "ready"); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("is not ready in time", func(t *testing.T) {
		c := start("while :; do sleep 0.01; done")
		defer c.stop()
		if _, err := awaitLine(t.Context(), c, time.Millisecond, servingAddress); err == nil || !strings.Contains(err.Error(), "not ready within 1ms") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("nobody waits any more", func(t *testing.T) {
		c := start("while :; do sleep 0.01; done")
		defer c.stop()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := awaitLine(ctx, c, time.Minute, servingAddress); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v", err)
		}
	})
}

// What parts print that nobody reads is bounded.
func TestChildForgets(t *testing.T) {
	var c child
	for range 3 * childUnread {
		if _, err := c.Write([]byte("half a li")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("ne\n")); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.unread) != childUnread || len(c.last) != childLast {
		t.Errorf("%d unread and %d last lines, want %d and %d", len(c.unread), len(c.last), childUnread, childLast)
	}
	if line, ok := c.takeLine(); !ok || line != "half a line" {
		t.Errorf("got line %q", line)
	}
}

func TestReadWhatPartsTell(t *testing.T) {
	got, ok := platformVariables("flysim serves http://127.0.0.1:1 (machines /v1); export FLY_FLAPS_BASE_URL=http://127.0.0.1:1 FLY_API_TOKEN=sim")
	if diff := cmp.Diff([]string{"FLY_FLAPS_BASE_URL=http://127.0.0.1:1", "FLY_API_TOKEN=sim"}, got); diff != "" || !ok {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if _, ok := platformVariables("flysim: something else"); ok {
		t.Error("found variables where there are none")
	}
	if got, ok := servingAddress(`{"level":"INFO","msg":"serving","address":"127.0.0.1:9"}`); !ok || got != "127.0.0.1:9" {
		t.Errorf("got address %q", got)
	}
	if _, ok := servingAddress(`serving address=127.0.0.1:9`); ok {
		t.Error("found an address in a line that is not JSON")
	}
}
