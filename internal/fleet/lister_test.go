package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// list is an API whose answers the test sets.
type list struct {
	machines []scale.Machine
	err      error
	takes    time.Duration
	short    []scale.Machine // the next answer instead of machines, once
	single   []scale.Machine // those that exist when they are asked for
	askErr   error
}

func (l *list) ListMachines(context.Context, scale.App) ([]scale.Machine, error) {
	time.Sleep(l.takes)
	if short := l.short; short != nil {
		l.short = nil
		return short, nil
	}
	return slices.Clone(l.machines), l.err
}

func (l *list) GetMachine(_ context.Context, _ scale.App, id scale.MachineID) (scale.Machine, error) {
	for _, m := range l.single {
		if m.ID == id {
			return m, nil
		}
	}
	if l.askErr != nil {
		return scale.Machine{}, l.askErr
	}
	return scale.Machine{}, &flyapi.Error{Kind: flyapi.KindNotFound}
}

func (l *list) CurrentRelease(context.Context, scale.App) (scale.Release, error) {
	return scale.Release{Known: true}, nil
}

func m(id scale.MachineID, state scale.State) scale.Machine {
	return scale.Machine{ID: id, State: state, Group: "app", Host: scale.HostOK}
}

func states(t *testing.T, l *fleet.Lister) (map[scale.MachineID]scale.State, bool) {
	t.Helper()
	s, err := l.Snapshot(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	out := map[scale.MachineID]scale.State{}
	for _, m := range s.Machines {
		out[m.ID] = m.State
	}
	return out, s.Complete
}

// What we did is shown although the list lags, until the list shows it or it is
// too old to be true.
func TestOwnWritesAreShownUntilSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &list{machines: []scale.Machine{m("1", "stopped"), m("2", "started"), m("3", "stopped")}}
		l := fleet.NewLister(api)
		states(t, l)
		clone := m("9", "created")
		done := func(v scale.Verb, id scale.MachineID, from scale.State) scale.Outcome {
			return scale.Outcome{Action: scale.Action{Verb: v, Machine: id, State: from}, Result: scale.Done, Machine: id, At: time.Now()}
		}
		create := done(scale.Create, "9", "")
		create.Clone = &clone
		l.Wrote("web", []scale.Outcome{done(scale.Start, "1", "stopped"), done(scale.Stop, "2", "started"), done(scale.Destroy, "3", "stopped"), create})

		got, _ := states(t, l)
		want := map[scale.MachineID]scale.State{"1": "starting", "2": "stopping", "3": "destroying", "9": "created"}
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for id, state := range want {
			if got[id] != state {
				t.Errorf("Machine %s is shown %s, want %s", id, got[id], state)
			}
		}

		// The list shows the start and the create, and the start then fails: from
		// now on it is believed.
		api.machines = []scale.Machine{m("1", "started"), m("2", "started"), m("3", "stopped"), m("9", "starting")}
		states(t, l)
		api.machines = []scale.Machine{m("1", "stopped"), m("2", "started"), m("3", "stopped")}
		if got, _ := states(t, l); got["1"] != "stopped" || got["2"] != "stopping" {
			t.Errorf("got %v, want the list believed for 1 and not yet for 2", got)
		}
		time.Sleep(time.Minute)
		if got, _ := states(t, l); got["2"] != "started" || got["3"] != "stopped" {
			t.Errorf("got %v after a minute, want the list as it is", got)
		}
	})
}

// A list that lags shows a Machine in states from before our write, also in
// others than the one that we acted on. Believed, they would have the Machine
// counted again, and another one taken away in its place.
func TestOlderStatesDoNotHideOwnWrites(t *testing.T) {
	for _, c := range []struct {
		verb          scale.Verb
		shown         scale.State
		older, caught []scale.State
	}{
		{scale.Destroy, "destroying", []scale.State{"created", "starting", "started", "stopping", "stopped"}, []scale.State{"destroying"}},
		{scale.Stop, "stopping", []scale.State{"created", "starting", "started"}, []scale.State{"stopping", "stopped"}},
		{scale.Suspend, "suspending", []scale.State{"created", "starting", "started"}, []scale.State{"suspending", "suspended", "stopping"}},
		{scale.Start, "starting", []scale.State{"created", "stopping", "stopped", "suspended"}, []scale.State{"starting", "started"}},
	} {
		t.Run(string(c.verb), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &list{}
				l := fleet.NewLister(api)
				acted := c.older[len(c.older)-1]
				l.Wrote("web", []scale.Outcome{{Action: scale.Action{Verb: c.verb, Machine: "1", State: acted}, Result: scale.Done, Machine: "1", At: time.Now()}})
				for _, state := range c.older {
					api.machines = []scale.Machine{m("1", state)}
					if got, _ := states(t, l); got["1"] != c.shown {
						t.Errorf("listed %s, shown %s, want %s", state, got["1"], c.shown)
					}
				}
				for _, state := range c.caught {
					api.machines = []scale.Machine{m("1", state)}
					if got, _ := states(t, l); got["1"] != state {
						t.Errorf("listed %s, shown %s, want it believed", state, got["1"])
					}
				}
			})
		})
	}
}

// A list that does not show yet that we took a Machine out of service, or back, would
// have another one taken in its place.
func TestMarksThatAreNotListedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(time.Minute)
		marked := func(id scale.MachineID, until time.Time) scale.Machine {
			m := m(id, "started")
			m.Cordoned, m.Metadata = true, map[string]string{"a": "b", scale.MetaDrain: scale.DrainMark(until)}
			return m
		}
		api := &list{machines: []scale.Machine{m("1", "started"), marked("2", until), marked("3", until)}}
		l := fleet.NewLister(api)
		write := func(verb scale.Verb, id scale.MachineID, until time.Time) {
			l.Wrote("web", []scale.Outcome{{Action: scale.Action{Verb: verb, Machine: id, State: "started", Until: until}, Result: scale.Done, Machine: id, At: time.Now()}})
		}
		marks := func() string {
			s, err := l.Snapshot(t.Context(), "web")
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, m := range s.Machines {
				until, _ := m.DrainedUntil()
				out = append(out, fmt.Sprint(m.ID, m.Drained(), m.Cordoned, until.Sub(time.Now().Truncate(time.Second))))
			}
			return strings.Join(out, " ")
		}
		base := marks()
		write(scale.Drain, "1", until)
		write(scale.Undrain, "2", time.Time{})
		write(scale.Drain, "3", until.Add(time.Minute)) // anew
		want := "1true true 1m0s 2false false"
		if got := marks(); !strings.HasPrefix(got, want) || !strings.Contains(got, "3true true 2m0s") {
			t.Errorf("got %s, want the list with the writes", got)
		}
		if api.machines[1].Metadata[scale.MetaDrain] == "" || len(api.machines[0].Metadata) > 0 {
			t.Error("the metadata of the list was written to")
		}
		// Listed, each is believed, and what comes after.
		api.machines = []scale.Machine{marked("1", until), m("2", "started"), marked("3", until.Add(time.Minute))}
		_ = marks()
		api.machines = []scale.Machine{m("1", "started"), marked("2", until), marked("3", until)}
		if got := marks(); got != base {
			t.Errorf("got %s, want the list as it is: %s", got, base)
		}
	})
}

// A Machine that was stopped for long and that we just started has been starting
// for a moment, not for as long as it was stopped.
func TestOwnWritesAreRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := m("1", "stopped")
		old.UpdatedAt = time.Now().Add(-time.Hour)
		l := fleet.NewLister(&list{machines: []scale.Machine{old}})
		l.Wrote("web", []scale.Outcome{{Action: scale.Action{Verb: scale.Start, Machine: "1", State: "stopped"}, Result: scale.Done, Machine: "1", At: time.Now()}})
		s, err := l.Snapshot(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Machines[0]; got.State != "starting" || !got.UpdatedAt.Equal(time.Now()) {
			t.Errorf("got %s since %s, want starting since now", got.State, got.UpdatedAt)
		}
	})
}

// A create that the list never shows is forgotten after a while.
func TestUnseenCreateIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := fleet.NewLister(&list{})
		clone := m("9", "created")
		l.Wrote("web", []scale.Outcome{{Action: scale.Action{Verb: scale.Create}, Result: scale.Done, Machine: "9", Clone: &clone, At: time.Now()}})
		if got, _ := states(t, l); got["9"] != "created" {
			t.Fatalf("got %v, want the created Machine", got)
		}
		time.Sleep(time.Minute)
		if got, _ := states(t, l); len(got) != 0 {
			t.Errorf("got %v after a minute, want none", got)
		}
	})
}

// Short or empty lists change nothing but the trust in them, however many reads
// fall into the same moment. A Machine is gone when two reads lack it that lie ten
// seconds apart.
func TestShortListsAreNotBelievedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := []scale.Machine{m("1", "started"), m("2", "started"), m("3", "stopped")}
		api := &list{machines: full}
		l := fleet.NewLister(api)
		check := func(when string, count int, complete bool) {
			t.Helper()
			if got, c := states(t, l); len(got) != count || c != complete {
				t.Errorf("%s: got %v, complete %v, want %d Machines, complete %v", when, got, c, count, complete)
			}
		}
		check("at first", 3, true)
		api.machines = nil
		check("after an empty list", 3, false)
		time.Sleep(time.Millisecond)
		check("a moment later", 3, false)
		time.Sleep(9 * time.Second)
		check("still empty", 3, false)
		api.machines = full
		check("the list came back", 3, false)
		time.Sleep(10 * time.Second)
		check("it is still there", 3, true)
		api.machines = full[:1]
		time.Sleep(time.Second)
		check("short, and the absence before is forgotten", 3, false)
		time.Sleep(10*time.Second - time.Nanosecond)
		check("short for almost long enough", 3, false)
		time.Sleep(time.Nanosecond)
		check("short for ten seconds", 1, true)
	})
}

// A Machine that a list lacks is asked for, and is gone only if there is no such
// Machine, and has not been for a while.
// A Machine that is back after a list lacked it may be there, or the list may be older
// than the one before.
func TestWhatIsBackIsDoubtful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &list{machines: []scale.Machine{m("1", "started"), m("2", "started")}}
		l := fleet.NewLister(api)
		states(t, l)
		time.Sleep(time.Minute)
		api.short = []scale.Machine{m("1", "started")}
		if _, complete := states(t, l); complete {
			t.Error("complete although a Machine is missing")
		}
		for range 4 {
			time.Sleep(2 * time.Second)
			if got, complete := states(t, l); complete || len(got) != 2 {
				t.Errorf("%v, complete %v: a list that lags would show the same", got, complete)
			}
		}
		time.Sleep(3 * time.Second)
		if got, complete := states(t, l); !complete || len(got) != 2 {
			t.Errorf("%v, complete %v: lists do not lag that long", got, complete)
		}
	})
}

func TestAbsenceIsLookedInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &list{machines: []scale.Machine{m("1", "started"), m("2", "started")}}
		l := fleet.NewLister(api)
		states(t, l)
		api.machines, api.single = api.machines[:1], []scale.Machine{m("2", "stopped")}
		for range 3 {
			if got, complete := states(t, l); got["2"] != "stopped" || complete {
				t.Errorf("got %v, complete %v, want Machine 2 as it is, incomplete", got, complete)
			}
			time.Sleep(15 * time.Second)
		}
		api.single, api.askErr = nil, errors.New("503")
		states(t, l)
		time.Sleep(15 * time.Second)
		if got, complete := states(t, l); got["2"] != "stopped" || complete {
			t.Errorf("when it cannot be asked for: got %v, complete %v, want Machine 2 as it was, incomplete", got, complete)
		}
		api.askErr = nil
		if got, complete := states(t, l); len(got) != 1 || !complete {
			t.Errorf("when there is no such Machine: got %v, complete %v, want one Machine, complete", got, complete)
		}
	})
}

// A short list is read again. A second one that has everything tells what there is,
// and nothing is removed by it.
func TestShortListIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &list{machines: []scale.Machine{m("1", "started"), m("2", "started")}}
		l := fleet.NewLister(api)
		states(t, l)
		api.machines, api.short = []scale.Machine{m("1", "started"), m("2", "stopped"), m("3", "started")}, []scale.Machine{m("1", "stopped")}
		if got, complete := states(t, l); len(got) != 3 || got["1"] != "started" || got["2"] != "stopped" || complete {
			t.Errorf("got %v, complete %v, want all three as they are, and doubt", got, complete)
		}
	})
}

// The first list has none before it to be held against.
func TestFirstShortListIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := []scale.Machine{m("1", "started"), m("2", "started")}
		for _, short := range [][]scale.Machine{{}, full[1:]} {
			if got, _ := states(t, fleet.NewLister(&list{machines: full, short: short})); len(got) != 2 {
				t.Errorf("with %d Machines in the first answer: got %v, want two", len(short), got)
			}
		}
	})
}

// A list that lags does not take back what one before it told.
func TestOlderRowsAreNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := m("1", "started")
		before.UpdatedAt = time.Now()
		after := m("1", "stopped")
		after.UpdatedAt = before.UpdatedAt.Add(time.Second)
		api := &list{machines: []scale.Machine{after}}
		l := fleet.NewLister(api)
		states(t, l)
		before.Host, before.Lease = scale.HostUnreachable, &scale.Lease{Owner: "someone"}
		before.Config = []byte(`{}`)
		api.machines = []scale.Machine{before}
		s, err := l.Snapshot(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		want := after
		want.Host, want.Lease, want.Config = before.Host, before.Lease, before.Config
		if s.Complete {
			t.Error("a list that is old passes for complete")
		}
		if diff := cmp.Diff([]scale.Machine{want}, s.Machines); diff != "" {
			t.Errorf("after a list from before (-want +got):\n%s", diff)
		}
	})
}

// What only the organization's list tells of is asked for before an app is acted
// upon.
func TestOverviewIsHeldAgainstTheOwnList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		org := &orgList{all: flyapi.OrgPage{Machines: []flyapi.OrgMachine{row("web", "1", "started", now), row("web", "2", "started", now), row("web", "3", "started", now)}}}
		api := &list{machines: []scale.Machine{m("1", "started")}, single: []scale.Machine{m("2", "stopped")}}
		both := fleet.NewOrg(fleet.NewLister(api), watch(t, org, fleet.WatchConfig{}), nil)
		s, err := both.Snapshot(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Machines) != 2 || s.Machines[1].State != "stopped" || s.Complete {
			t.Errorf("got %+v, complete %v, want Machines 1 and 2 as they are, incomplete", s.Machines, s.Complete)
		}
		api.single, api.askErr = nil, errors.New("503")
		api.machines = []scale.Machine{m("1", "started"), m("2", "stopped")}
		if s, err := both.Snapshot(t.Context(), "web"); err == nil {
			t.Errorf("got %+v although nobody can tell whether Machine 3 exists, want an error", s)
		}
	})
}

// A read that takes long is no second one: what it tells may be as old as the
// first.
func TestAbsenceIsNotBelievedFromASlowRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &list{machines: []scale.Machine{m("1", "started")}}
		l := fleet.NewLister(api)
		states(t, l)
		api.machines = nil
		states(t, l)
		api.takes = 20 * time.Second
		if got, complete := states(t, l); len(got) != 1 || complete {
			t.Errorf("got %v, complete %v, want the Machine still shown, incomplete", got, complete)
		}
	})
}

// Machines that are expected to go are gone as soon as a list lacks them.
func TestExpectedAbsenceIsBelievedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := m("2", "started")
		short.AutoDestroy = true
		api := &list{machines: []scale.Machine{m("1", "destroying"), short, m("3", "stopped")}}
		l := fleet.NewLister(api)
		states(t, l)
		l.Wrote("web", []scale.Outcome{{Action: scale.Action{Verb: scale.Destroy, Machine: "3", State: "stopped"}, Result: scale.Done, Machine: "3", At: time.Now()}})
		api.machines = nil
		if got, complete := states(t, l); len(got) != 0 || !complete {
			t.Errorf("got %v, complete %v, want none, complete", got, complete)
		}
	})
}

// A Machine on a host out of reach comes without what its configuration tells.
// It is still what it was known to be.
func TestBareRowsKeepWhatWasKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := m("1", "started")
		known.Group, known.Image, known.Metadata = "worker", "registry/web@sha256:1", map[string]string{scale.MetaReleaseVersion: "7"}
		known.Standby, known.Scheduled, known.AutoDestroy, known.HasMounts = true, true, true, true
		known.Config = []byte(`{}`)
		clone := m("2", "created")
		clone.Group = "worker"
		bare := func(id scale.MachineID) scale.Machine {
			return scale.Machine{ID: id, State: "stopped", Host: scale.HostUnreachable}
		}
		api := &list{machines: []scale.Machine{known}}
		l := fleet.NewLister(api)
		states(t, l)
		l.Wrote("web", []scale.Outcome{{Action: scale.Action{Verb: scale.Create}, Result: scale.Done, Machine: "2", Clone: &clone, At: time.Now()}})
		api.machines = []scale.Machine{bare("1"), bare("2"), bare("3")}
		first := known
		first.State, first.Host, first.Config = "stopped", scale.HostUnreachable, nil
		second := bare("2")
		second.Group = "worker"
		// Also when it was listed without before.
		for range 2 {
			s, err := l.Snapshot(t.Context(), "web")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]scale.Machine{first, second, bare("3")}, s.Machines); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestErrorsPassThrough(t *testing.T) {
	broken := errors.New("503")
	if _, err := fleet.NewLister(&list{err: broken}).Snapshot(t.Context(), "web"); !errors.Is(err, broken) {
		t.Errorf("got %v, want the API's error", err)
	}
	twice := &list{machines: []scale.Machine{m("1", "started"), m("1", "started")}}
	if _, err := fleet.NewLister(twice).Snapshot(t.Context(), "web"); err == nil {
		t.Error("a Machine listed twice passes unnoticed")
	}
}
