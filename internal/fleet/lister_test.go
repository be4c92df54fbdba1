package fleet_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// list is an API whose answers the test sets.
type list struct {
	machines []scale.Machine
	err      error
}

func (l *list) ListMachines(context.Context, scale.App) ([]scale.Machine, error) {
	return slices.Clone(l.machines), l.err
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
		states(t, l) // missing for the first time
		if got, _ := states(t, l); len(got) != 0 {
			t.Errorf("got %v after a minute, want none", got)
		}
	})
}

// One short or empty list changes nothing but the trust in it; two in a row are
// believed.
func TestOneShortListIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := []scale.Machine{m("1", "started"), m("2", "started"), m("3", "stopped")}
		api := &list{machines: full}
		l := fleet.NewLister(api)
		if got, complete := states(t, l); len(got) != 3 || !complete {
			t.Fatalf("got %v, complete %v", got, complete)
		}
		api.machines = nil
		if got, complete := states(t, l); len(got) != 3 || complete {
			t.Errorf("after one empty list: got %v, complete %v, want the three of before, incomplete", got, complete)
		}
		api.machines = full
		if got, complete := states(t, l); len(got) != 3 || !complete {
			t.Errorf("after the list came back: got %v, complete %v", got, complete)
		}
		api.machines = full[:1]
		states(t, l)
		if got, complete := states(t, l); len(got) != 1 || !complete {
			t.Errorf("after two short lists: got %v, complete %v, want one Machine", got, complete)
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
