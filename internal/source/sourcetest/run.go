package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

const (
	// patient is the timeout of sources that are expected to answer. No case
	// waits for it.
	patient = 30 * time.Second
	// slack is how much later than its deadline a call may return on a machine
	// that is busy with other tests.
	slack = 5 * time.Second
)

// Run holds a kind of source to the contract. It counts goroutines and must
// therefore not run beside parallel tests of the same binary.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, tt := range []struct {
		condition Condition
		want      scale.Sample // Reason and At are checked apart
	}{
		{Right, scale.Sample{Quality: scale.Fresh, Value: Value}},
		{Empty, scale.Sample{Quality: scale.Empty}},
		{Several, scale.Sample{Quality: scale.Error}},
		{NaN, scale.Sample{Quality: scale.Error}},
		{Inf, scale.Sample{Quality: scale.Error}},
		{Text, scale.Sample{Quality: scale.Error}},
		{Down, scale.Sample{Quality: scale.Error}},
		{Refused, scale.Sample{Quality: scale.Error}},
	} {
		h.run(t, string(tt.condition), tt.condition, func(t *testing.T) {
			src := h.open(t, tt.condition, patient)
			apps := []scale.App{App, OtherApp, App}
			for app, got := range h.collect(t, src, apps) {
				h.same(t, app, tt.want, got)
			}
		})
	}
	h.run(t, "no apps", Right, h.testNoApps)
	h.run(t, "hang, own deadline", Hang, h.testDeadline)
	h.run(t, "hang, cancelled", Hang, h.testCancelled)
	h.run(t, "cancelled before", Right, h.testCancelledBefore)
	h.run(t, "per app", PerApp, h.testPerApp)
	h.run(t, "hostile app names", PerApp, h.testHostile)
	h.run(t, "goroutines", Right, h.testGoroutines)
}

func (h Harness) run(t *testing.T, name string, c Condition, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		if why, ok := h.Impossible[c]; ok {
			t.Skipf("condition %q cannot be: %s", c, why)
		}
		test(t)
	})
}

func (h Harness) testNoApps(t *testing.T) {
	if got := h.open(t, Right, patient).Collect(t.Context(), nil); len(got) != 0 {
		t.Errorf("collect for no apps returned %v", got)
	}
}

func (h Harness) testDeadline(t *testing.T) {
	const timeout = 200 * time.Millisecond
	src := h.open(t, Hang, timeout)
	// Only a source without a deadline of its own gets as far as this one.
	ctx, cancel := context.WithTimeout(t.Context(), 2*slack)
	defer cancel()
	began := time.Now()
	for app, got := range h.collectIn(ctx, t, src, []scale.App{App, OtherApp}) {
		h.same(t, app, scale.Sample{Quality: scale.Error}, got)
	}
	if took := time.Since(began); took < timeout/2 || took > timeout+slack {
		t.Errorf("collect took %v of a timeout of %v", took, timeout)
	}
}

func (h Harness) testCancelled(t *testing.T) {
	src := h.open(t, Hang, patient)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("caller is gone"))
	defer cancel()
	began := time.Now()
	for app, got := range h.collectIn(ctx, t, src, []scale.App{App, OtherApp}) {
		h.same(t, app, scale.Sample{Quality: scale.Error}, got)
	}
	if took := time.Since(began); took > slack {
		t.Errorf("collect returned %v after its context ended", took)
	}
}

func (h Harness) testCancelledBefore(t *testing.T) {
	src := h.open(t, Right, patient)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for app, got := range h.collectIn(ctx, t, src, []scale.App{App, OtherApp}) {
		h.same(t, app, scale.Sample{Quality: scale.Error}, got)
	}
	// A call that was cancelled leaves the source fit for use.
	h.same(t, App, scale.Sample{Quality: scale.Fresh, Value: Value}, h.collect(t, src, []scale.App{App})[App])
}

func (h Harness) testPerApp(t *testing.T) {
	src := h.open(t, PerApp, patient)
	apps := []scale.App{App, OtherApp}
	for i := range 30 {
		apps = append(apps, scale.App(fmt.Sprintf("nobody-%d", i)))
	}
	for app, got := range h.collect(t, src, apps) {
		want := scale.Sample{Quality: scale.Empty}
		switch app {
		case App:
			want = scale.Sample{Quality: scale.Fresh, Value: Value}
		case OtherApp:
			want = scale.Sample{Quality: scale.Fresh, Value: OtherValue}
		}
		h.same(t, app, want, got)
	}
}

// testHostile asks for names that would read another app's value, or a constant
// of the attacker's choice, if a name were ever taken for anything but data.
func (h Harness) testHostile(t *testing.T) {
	src := h.open(t, PerApp, patient)
	hostile := []scale.App{
		`web"} or queue{app="web`, `x"} or vector(1) #`, `x'} or vector(1) #`, "x`} or vector(1) #",
		`x\`, `\"} or vector(1) #`, `web\x22`, "web\n", "x\n) or vector(1) #", ".*", "web|api-2", `.+|\w`,
		`' OR '1'='1`, `x'; SELECT 42; --`, `x" OR "1"="1`, `$1`, `$(id)`, "../web", "web/../web", "web?x=1", "web#", "web%00",
		"*", ">", "web.*", "w?b", "[w]eb", "web\r\nSET x 1", "web\x00", "\xff\xfe", "web ", " web", "WEB", "",
		"${APP_NAME}", "$APP_NAME", "web, api-2", "{web}", "queue:web", scale.App(strings.Repeat("a", 5000)),
	}
	apps := append([]scale.App{App, OtherApp}, hostile...)
	for app, got := range h.collect(t, src, apps) {
		switch app {
		case App:
			h.same(t, app, scale.Sample{Quality: scale.Fresh, Value: Value}, got)
		case OtherApp:
			h.same(t, app, scale.Sample{Quality: scale.Fresh, Value: OtherValue}, got)
		default:
			if got.Quality != scale.Empty && got.Quality != scale.Error {
				t.Errorf("app %q has a value: %+v", app, got)
			}
		}
	}
}

func (h Harness) testGoroutines(t *testing.T) {
	src := h.Open(t, Right, patient)
	h.collect(t, src, []scale.App{App})
	before := runtime.NumGoroutine()
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		if i%4 == 3 {
			cancel()
		}
		src.Collect(ctx, []scale.App{App, OtherApp})
		cancel()
	}
	if err := src.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(slack)
	for {
		now := runtime.NumGoroutine()
		if now <= before {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before 200 collects and a close, %d after:\n%s",
				before, now, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func (h Harness) open(t *testing.T, c Condition, timeout time.Duration) source.Source {
	t.Helper()
	src := h.Open(t, c, timeout)
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return src
}

func (h Harness) collect(t *testing.T, src source.Source, apps []scale.App) map[scale.App]scale.Sample {
	t.Helper()
	return h.collectIn(t.Context(), t, src, apps)
}

// collectIn collects and gives up on a source that does not return at all.
func (h Harness) collectIn(
	ctx context.Context, t *testing.T, src source.Source, apps []scale.App,
) map[scale.App]scale.Sample {
	t.Helper()
	done := make(chan map[scale.App]scale.Sample, 1)
	go func() { done <- src.Collect(ctx, apps) }()
	select {
	case samples := <-done:
		return h.check(t, src, apps, samples)
	case <-time.After(2 * patient):
		t.Fatalf("collect did not return within %v", 2*patient)
		return nil
	}
}

// check tests what holds for every answer: one sample for every app asked for
// and for no other, each in itself consistent.
func (h Harness) check(
	t *testing.T, src source.Source, apps []scale.App, samples map[scale.App]scale.Sample,
) map[scale.App]scale.Sample {
	t.Helper()
	want := map[scale.App]bool{}
	for _, app := range apps {
		want[app] = true
	}
	got := map[scale.App]bool{}
	for app, s := range samples {
		got[app] = true
		for _, problem := range h.problems(src, s) {
			t.Errorf("sample of app %q: %s: %+v", app, problem, s)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("apps that have a sample differ (-want +got):\n%s", diff)
	}
	return samples
}

// problems lists what is wrong with a sample whatever the server said.
func (h Harness) problems(src source.Source, s scale.Sample) []string {
	var problems []string
	bad := func(is bool, problem string) {
		if is {
			problems = append(problems, problem)
		}
	}
	bad(s.Metric != src.Metric() || s.Metric == "", "does not name its metric")
	bad(s.At.IsZero(), "has no time")
	bad(s.Quality == scale.Fresh && s.Reason != "", "is fresh and yet has a reason")
	bad(s.Quality != scale.Fresh && s.Value != 0, "is unknown and yet has a value")
	bad(s.Quality != scale.Fresh && s.Reason == "", "is unknown without a reason")
	bad(s.Quality != scale.Fresh && s.Quality != scale.Empty && s.Quality != scale.Error, "has a quality that no source gives")
	bad(s.Reason != source.Printable(s.Reason, source.MaxReason), "has a reason that is not one bounded, printable line")
	bad(s.Reason != source.NewRedactor(h.Secret).Text(s.Reason), "shows the credential")
	return problems
}

func (h Harness) same(t *testing.T, app scale.App, want, got scale.Sample) {
	t.Helper()
	want.Metric, want.At, want.Reason = got.Metric, got.At, got.Reason
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sample of app %q differs (-want +got):\n%s\nreason: %s", app, diff, got.Reason)
	}
}
