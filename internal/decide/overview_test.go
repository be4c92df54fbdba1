package decide_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// overviewOf returns the target as an org-wide list shows it.
func (w drawn) overviewOf() drawn {
	machines := slices.Clone(w.snapshot.Machines)
	for i := range machines {
		m := &machines[i]
		m.Host, m.Config, m.Lease = scale.HostOK, nil, nil
		m.Cordoned, m.HasMounts, m.Standby, m.Scheduled, m.AutoDestroy = false, false, false, false, false
	}
	w.snapshot.Machines, w.snapshot.Overview = machines, true
	return w
}

// plain makes the facts that an overview lacks the ordinary ones.
func (w drawn) plain() drawn {
	machines := slices.Clone(w.snapshot.Machines)
	for i := range machines {
		m := &machines[i]
		m.Host, m.Config, m.Lease = scale.HostOK, []byte(`{"image":"app"}`), nil
		m.Cordoned, m.HasMounts, m.Standby = false, false, false
	}
	w.snapshot.Machines = machines
	return w
}

// Nothing is missed: where the app's own list would lead to a plan, so does the
// overview with the same facts. For Machines that are plain it is the same plan,
// so that a target at rest costs no second look either.
func TestOverviewMissesNothing(t *testing.T) {
	acts := 0
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t)
		if rapid.Bool().Draw(t, "disturbed") {
			w = w.disturb(t)
		}
		w = w.plain()
		d, full := w.plan()
		od, seen := w.overviewOf().plan()
		if !full.Empty() {
			acts++
		}
		if full.Empty() != seen.Empty() || d.Want != od.Want || len(full.Actions) != len(seen.Actions) {
			t.Fatalf("own list: %s\n%v\noverview: %s\n%v", d.Line(), full.Actions, od.Line(), seen.Actions)
		}
	})
	if acts == 0 {
		t.Error("no drawn target had anything to do")
	}
}

// A group without Machines is nothing to look at twice: there is none to clone.
func TestOverviewWithoutMachines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genTarget(t).plain()
		w.snapshot.Machines = slices.DeleteFunc(w.snapshot.Machines, func(m scale.Machine) bool { return m.Group == group })
		if _, p := w.overviewOf().plan(); !p.Empty() {
			t.Fatalf("plans %v", p.Actions)
		}
	})
}
