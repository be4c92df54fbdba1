package simulate

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/app"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// target is one process group of one app.
type target struct{ app, group string }

// record is all that happened in a run, in one order.
type record struct {
	mu sync.Mutex
	// All that follows is guarded by mu.

	seq       int
	skew      time.Duration // how far the platform's clock is ahead of ours
	machines  map[string]*life
	changes   map[target][]moment // when a Machine of the target changed
	asked     []mutation
	sent      map[string]time.Time // by request, those that may change something
	passes    map[target][]pass
	values    map[string][]value // of the metric, by app, as scraped
	releases  map[string][]phase // by app
	blind     []phase            // when questions for releases might fail
	lines     []line
	reports   int
	requests  int
	throttled int
}

// moment is a point in the order of things.
type moment struct {
	at  time.Time
	seq int
}

// life is one Machine from its beginning.
type life struct {
	id     string
	target target
	past   []state // oldest first
}

// state is what a Machine was from a moment on.
type state struct {
	moment
	sim.MachineChange
}

// mutation is one that somebody asked for, and that took effect.
type mutation struct {
	moment
	sim.Mutation
	target target
	ours   bool
}

// pass is one that acted.
type pass struct {
	began, ended time.Time
	outcomes     []scale.Outcome
}

// value is what the metric was from a moment on.
type value struct {
	at   time.Time
	work float64
}

// phase is a release being rolled out.
type phase struct{ from, to time.Time }

// line is one line of the timeline.
type line struct {
	at   time.Time
	text string
}

// maxLines bounds the timeline; the oldest half goes first.
const maxLines = 100_000

func newRecord() *record {
	return &record{
		machines: make(map[string]*life), changes: make(map[target][]moment), sent: make(map[string]time.Time),
		passes: make(map[target][]pass), values: make(map[string][]value), releases: make(map[string][]phase),
	}
}

// note writes a line into the timeline.
func (r *record) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(time.Now(), fmt.Sprintf(format, args...))
}

// write is note with mu held.
func (r *record) write(at time.Time, text string) {
	if len(r.lines) == maxLines {
		r.lines = append(r.lines[:0], r.lines[maxLines/2:]...)
	}
	r.lines = append(r.lines, line{at, text})
}

// Changed implements sim.Observer.
func (r *record) Changed(c sim.MachineChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	at := moment{c.At.Add(-r.skew), r.seq}
	c.UpdatedAt = c.UpdatedAt.Add(-r.skew)
	l := r.machines[c.ID]
	if l == nil {
		l = &life{id: c.ID, target: target{c.App, c.Group}}
		if c.Metadata[scale.MetaBuilderID] != "" {
			l.target.group += " (builder)" // not one of the group's, for all that it says
		}
		r.machines[c.ID] = l
	}
	l.past = append(l.past, state{at, c})
	r.changes[l.target] = append(r.changes[l.target], at)
	text := fmt.Sprintf("  machine %s %s/%s %s: %s", c.ID, c.App, c.Group, c.Region, c.State)
	if c.Launching {
		text += ", launching"
	}
	if c.Cordoned {
		text += ", cordoned"
	}
	if c.HostStatus != scale.HostOK {
		text += ", host " + string(c.HostStatus)
	}
	r.write(at.at, text)
}

// Asked implements sim.Observer.
func (r *record) Asked(m sim.Mutation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := moment{m.At.Add(-r.skew), r.seq} // it was the newest change
	out := mutation{moment: at, Mutation: m, ours: m.Request != byHand, target: target{app: m.App}}
	if l := r.machines[m.Machine]; l != nil {
		out.target = l.target
	}
	r.asked = append(r.asked, out)
	who := "autoscaler"
	if !out.ours {
		who = "person"
	}
	r.write(at.at, fmt.Sprintf("%s: %s %s %s", who, m.Op, m.App, m.Machine))
}

// setSkew notes that the platform's clock was set forward.
func (r *record) setSkew(step time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skew += step
}

// platformTime is the time by the platform's clock.
func (r *record) platformTime() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.skew)
}

// rollsOut notes that a release of the app begins to be rolled out, and rolledOut that
// it ended.
func (r *record) rollsOut(app string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.releases[app] = append(r.releases[app], phase{from: time.Now()})
}

func (r *record) rolledOut(app string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	phases := r.releases[app]
	phases[len(phases)-1].to = time.Now()
}

// served notes a request that was answered, or tried to be.
func (r *record) served(req *http.Request, a *answer, sent time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if a.status == http.StatusTooManyRequests {
		r.throttled++
	}
	if changes(req) {
		r.sent[a.header.Get("Fly-Request-Id")] = sent
	}
	if a.status >= 400 || a.cut {
		r.write(time.Now(), fmt.Sprintf("  answer %d cut=%t to %s %s, sent %s ago", a.status, a.cut, req.Method, req.URL.Path, time.Since(sent)))
	}
}

// report notes a pass.
func (r *record) report(p app.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports++
	if len(p.Outcomes) == 0 {
		return
	}
	t := target{string(p.App), string(p.Group)}
	r.passes[t] = append(r.passes[t], pass{began: p.Began, ended: p.Began.Add(p.Took), outcomes: p.Outcomes})
}

// scraped notes the value of an app's metric.
func (r *record) scraped(app string, at time.Time, work float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.values[app]
	if n := len(v); n > 0 && v[n-1].work == work {
		return
	}
	at = at.Add(-r.skew)
	r.values[app] = append(v, value{at, work})
	r.write(at, fmt.Sprintf("metric of %s: %g", app, work))
}

// logger returns the program's logger: what it says is part of the timeline.
func (r *record) logger(process int) *slog.Logger {
	return slog.New(slog.NewTextHandler(&logLines{record: r, prefix: fmt.Sprintf("  process %d: ", process)}, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// logLines is an io.Writer of log lines.
type logLines struct {
	record *record
	prefix string
}

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.record.note("%s%s", l.prefix, bytes.TrimSpace(p))
	return len(p), nil
}

// timeline returns what happened between two times, one event a line.
func (r *record) timeline(began time.Time, from, to time.Duration) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := slices.Clone(r.lines)
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, l := range lines {
		if at := l.at.Sub(began); at < from || at > to {
			continue
		}
		fmt.Fprintf(&b, "%12s %s\n", l.at.Sub(began).Round(time.Millisecond), l.text)
	}
	return b.String()
}
