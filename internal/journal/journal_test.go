package journal_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/memory"
)

func open(t *testing.T) (*journal.Journal, store.Store) {
	t.Helper()
	s := memory.New()
	j, err := journal.Open(t.Context(), s, journal.VolatileRetention())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return j, s
}

func write(t *testing.T, j *journal.Journal, app scale.App, kind journal.Kind) {
	t.Helper()
	if _, err := j.Append(t.Context(), journal.Entry{App: app, Group: "app", Kind: kind, At: time.Now()}); err != nil {
		t.Fatalf("append: %v", err)
	}
}

func lines(t *testing.T, items iter.Seq2[journal.Item, error]) []string {
	t.Helper()
	var got []string
	for it, err := range items {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		got = append(got, fmt.Sprintf("%d %s %s", it.ID, it.App, it.Kind))
	}
	return got
}

func TestRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, _ := open(t)
		start := time.Now()
		for _, e := range []struct {
			app  scale.App
			kind journal.Kind
		}{{"web", journal.Sample}, {"web-2", journal.Acted}, {"web", journal.Failed}, {"api", journal.Acted}, {"web", journal.Acted}} {
			write(t, j, e.app, e.kind)
			<-time.After(time.Minute)
		}
		for _, tt := range []struct {
			name   string
			filter journal.Filter
			want   []string
		}{
			{"all", journal.Filter{}, []string{"1 web sample", "2 web-2 acted", "3 web failed", "4 api acted", "5 web acted"}},
			{"an app", journal.Filter{App: "web"}, []string{"1 web sample", "3 web failed", "5 web acted"}},
			{"no app", journal.Filter{App: "we"}, nil},
			{"a pattern", journal.Filter{App: "web*"}, []string{"1 web sample", "2 web-2 acted", "3 web failed", "5 web acted"}},
			{"a pattern in the middle", journal.Filter{App: "w*2"}, []string{"2 web-2 acted"}},
			{"no pattern but the star", journal.Filter{App: "[w]*"}, nil},
			{"changes", journal.Filter{Changes: true}, []string{"2 web-2 acted", "4 api acted", "5 web acted"}},
			{"an app's changes", journal.Filter{App: "web", Changes: true}, []string{"5 web acted"}},
			{"since", journal.Filter{Since: start.Add(2 * time.Minute)}, []string{"3 web failed", "4 api acted", "5 web acted"}},
			{"until", journal.Filter{Until: start.Add(2 * time.Minute)}, []string{"1 web sample", "2 web-2 acted"}},
			{"between", journal.Filter{Since: start.Add(30 * time.Second), Until: start.Add(150 * time.Second)}, []string{"2 web-2 acted", "3 web failed"}},
			{"after", journal.Filter{App: "web", After: 1}, []string{"3 web failed", "5 web acted"}},
		} {
			if diff := cmp.Diff(tt.want, lines(t, j.Read(t.Context(), tt.filter))); diff != "" {
				t.Errorf("%s: entries differ (-want +got):\n%s", tt.name, diff)
			}
		}
		it, err := j.Get(t.Context(), 3)
		if err != nil || it.App != "web" || it.Kind != journal.Failed || !it.Recorded.Equal(start.Add(2*time.Minute)) || it.Err != nil {
			t.Errorf("got %+v, %v", it, err)
		}
		if _, err := j.Get(t.Context(), 6); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v, want %v", err, store.ErrNotFound)
		}
		if state, err := j.State(t.Context()); err != nil || state.Records != 5 {
			t.Errorf("state: got %+v, %v", state, err)
		}
		to, _ := open(t)
		write(t, to, "before", journal.Acted)
		if err := j.CopyTo(t.Context(), to); err != nil {
			t.Errorf("copy: %v", err)
		}
		if diff := cmp.Diff([]string{"1 before acted", "3 web-2 acted", "5 api acted", "6 web acted"}, lines(t, to.Read(t.Context(), journal.Filter{Changes: true}))); diff != "" {
			t.Errorf("copied entries differ (-want +got):\n%s", diff)
		}
	})
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, _ := open(t)
		write(t, j, "web", journal.Acted)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan string, 10)
		go func() {
			defer close(got)
			for it, err := range j.Follow(ctx, journal.Filter{App: "web", Changes: true}) {
				if err != nil {
					t.Errorf("follow: %v", err)
				}
				got <- fmt.Sprint(it.ID)
			}
		}()
		write(t, j, "web", journal.Sample)
		write(t, j, "api", journal.Acted)
		write(t, j, "web", journal.Acted)
		for _, want := range []string{"1", "4"} {
			if id := <-got; id != want {
				t.Errorf("followed to %s, want %s", id, want)
			}
		}
		cancel()
		if id, more := <-got; more {
			t.Errorf("followed to %s after the end", id)
		}
	})
}

// One entry that cannot be read hides no other.
func TestDamagedEntry(t *testing.T) {
	t.Parallel()
	j, s := open(t)
	st, err := s.Stream(t.Context(), "journal", journal.VolatileRetention())
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	write(t, j, "web", journal.Acted)
	for _, key := range []store.Key{store.KeyOf("web", "app", "acted"), store.KeyOf("odd")} {
		if _, err := st.Append(t.Context(), key, []byte("nonsense")); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
	write(t, j, "web", journal.Acted)
	want := []string{"1 web acted", "2 web acted", "3  ", "4 web acted"}
	if diff := cmp.Diff(want, lines(t, j.Read(t.Context(), journal.Filter{}))); diff != "" {
		t.Errorf("entries differ (-want +got):\n%s", diff)
	}
	for id, bad := range map[uint64]bool{1: false, 2: true, 3: true, 4: false} {
		if it, err := j.Get(t.Context(), id); err != nil || (it.Err != nil) != bad {
			t.Errorf("entry %d: got error %v, %v, want one: %t", id, it.Err, err, bad)
		}
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	type pass struct {
		after   time.Duration
		app     scale.App
		kind    journal.Kind
		failure string
		want    bool
	}
	for _, tt := range []struct {
		name   string
		passes []pass
	}{
		{"acts", []pass{
			{0, "web", journal.Acted, "", true}, {time.Second, "web", journal.Acted, "", true},
		}},
		{"does nothing", []pass{
			{0, "web", journal.Sample, "", true},
			{14 * time.Minute, "web", journal.Sample, "", false},
			{time.Minute, "web", journal.Sample, "", true},
			{time.Minute, "web", journal.Sample, "", false},
		}},
		{"acted, then does nothing", []pass{
			{0, "web", journal.Acted, "", true}, {14 * time.Minute, "web", journal.Sample, "", false}, {time.Minute, "web", journal.Sample, "", true},
		}},
		{"many do nothing", []pass{
			{0, "a", journal.Sample, "", true},
			{time.Second, "b", journal.Sample, "", false},
			{4 * time.Second, "c", journal.Sample, "", false},
			{time.Second, "b", journal.Sample, "", true},
		}},
		{"fails", []pass{
			{0, "web", journal.Failed, "x", true},
			{9 * time.Minute, "web", journal.Failed, "x", false},
			{time.Minute, "web", journal.Failed, "x", true},
			{time.Second, "web", journal.Failed, "y", true},
			{time.Second, "web", journal.Failed, "y", false},
			{0, "api", journal.Failed, "y", true},
		}},
		{"fails without saying how", []pass{
			{0, "web", journal.Failed, "", true}, {time.Second, "web", journal.Failed, "", false},
		}},
		{"recovers", []pass{
			{0, "web", journal.Failed, "x", true},
			{time.Second, "web", journal.Sample, "", true},
			{time.Second, "web", journal.Sample, "", false},
			{time.Second, "web", journal.Failed, "x", true},
			{time.Second, "web", journal.Acted, "", true},
			{time.Second, "web", journal.Sample, "", false},
		}},
		{"a clock that is set back", []pass{
			{0, "web", journal.Sample, "", true}, {-time.Hour, "web", journal.Sample, "", true},
		}},
	} {
		var p journal.Pace
		now := noon
		for i, pass := range tt.passes {
			now = now.Add(pass.after)
			if got := p.Keep(pass.app, "app", pass.kind, pass.failure, now); got != pass.want {
				t.Errorf("%s, pass %d: got %t, want %t", tt.name, i, got, pass.want)
			}
		}
	}
	var p journal.Pace
	if !p.Keep("web", "app", journal.Failed, "x", noon) || p.Keep("web", "app", journal.Failed, "x", noon) {
		t.Error("a failure is not kept once")
	}
	p.Forget("web", "app")
	if !p.Keep("web", "app", journal.Failed, "x", noon) {
		t.Error("a target that was forgotten is not new")
	}
}

// Thousands of targets with nothing to do leave the journal to those that act.
func TestPaceOfManyTargets(t *testing.T) {
	t.Parallel()
	var p journal.Pace
	samples := 0
	for second := 0; second < 900; second += 15 {
		for app := range 2_000 {
			now := noon.Add(time.Duration(second)*time.Second + time.Duration(app)*7500*time.Microsecond)
			if p.Keep(scale.App(fmt.Sprint(app)), "app", journal.Sample, "", now) {
				samples++
			}
		}
	}
	if samples < 120 || samples > 150 {
		t.Errorf("%d samples in a quarter of an hour, want one in six seconds", samples)
	}
}
