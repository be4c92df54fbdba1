package decide_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/decide"
	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/plan"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const group scale.ProcessGroup = "web"

// machine returns a plain Machine of the group.
func machine(id string, state scale.State) scale.Machine {
	return scale.Machine{
		ID: scale.MachineID(id), Name: "m-" + id, State: state, Region: "iad", Group: group,
		InstanceID: "01" + id, Host: scale.HostOK, CreatedAt: epoch.Add(-time.Hour), UpdatedAt: epoch.Add(-time.Minute),
		Config: []byte(`{"image":"app"}`),
	}
}

func snapshot(machines ...scale.Machine) scale.Snapshot {
	return scale.Snapshot{App: "app", Machines: machines, TakenAt: epoch, Complete: true, Release: scale.Release{Known: true}}
}

func sample(metric string, v float64) scale.Sample {
	return scale.Sample{Metric: metric, Value: v, At: epoch, Quality: scale.Fresh}
}

func mustCompile(src string) *expr.Program {
	if src == "" {
		return nil
	}
	p, err := expr.Compile(src, []string{"x", "y"})
	if err != nil {
		panic(err)
	}
	return p
}

// drawn is one random target with its surroundings.
type drawn struct {
	snapshot scale.Snapshot
	samples  []scale.Sample
	policy   *policy.Policy
	memory   decide.Memory
	now      time.Time
}

func (w drawn) decide() scale.Decision {
	d, _ := decide.Decide(w.snapshot, w.samples, w.policy, w.memory, w.now)
	return d
}

func (w drawn) plan() (scale.Decision, scale.Plan) {
	d := w.decide()
	return d, plan.Build(w.snapshot, d, w.policy)
}

// The expressions rise with x and with y, and have no guard against unknowns, so
// that they say what the properties on load and doubt are about.
var rising = []string{"x", "ceil(x / 3)", "max(x, 2)", "min(x + 1, 8)", "x + y", "max(x, y)", "4", "0", "round(x * 0.7)"}

func genProgram(t *rapid.T, label string) *expr.Program {
	return mustCompile(rapid.SampledFrom(rising).Draw(t, label))
}

// genTarget draws a target whose platform is as it usually is: a complete list, no
// release under way, no lease, all Machines of one release.
func genTarget(t *rapid.T) drawn {
	regions := []scale.Region{"iad", "ord", "lhr"}
	var machines []scale.Machine
	for i := range rapid.IntRange(0, 12).Draw(t, "machines") {
		m := machine(fmt.Sprintf("%04d", i), rapid.SampledFrom([]scale.State{
			scale.StateStarted, scale.StateStarted, scale.StateStarted, scale.StateStopped, scale.StateStopped, scale.StateSuspended,
			scale.StateCreated, scale.StateStarting, scale.StateStopping, scale.StateFailed, scale.StateUpdating, scale.StateDestroying, "melting",
		}).Draw(t, "state"))
		m.Region = rapid.SampledFrom(regions).Draw(t, "region")
		m.UpdatedAt = epoch.Add(-time.Duration(rapid.IntRange(0, 900).Draw(t, "age")) * time.Second)
		switch rapid.IntRange(0, 24).Draw(t, "kind") {
		case 0:
			m.Host, m.Config = scale.HostUnreachable, nil
		case 1:
			m.Cordoned = true
		case 2:
			m.HasMounts = true
		case 3:
			m.Group = "worker"
		case 4:
			m.Standby = true
		case 5:
			m.Group = "fly_app_release_command"
		case 6:
			m.Name = fmt.Sprintf("fas-web-%d", rapid.IntRange(1, 5).Draw(t, "number")*100+i)
		}
		machines = append(machines, m)
	}
	w := drawn{snapshot: snapshot(machines...), now: epoch}
	w.samples = []scale.Sample{
		sample("x", float64(rapid.IntRange(0, 12).Draw(t, "x"))),
		sample("y", float64(rapid.IntRange(0, 5).Draw(t, "y"))),
	}
	p := &policy.Policy{Group: group, Launch: rapid.Bool().Draw(t, "launch")}
	if rapid.Bool().Draw(t, "with regions") {
		p.Regions = regions[:rapid.IntRange(1, 3).Draw(t, "n regions")]
	}
	pair := func(label string) (lo, hi *expr.Program) {
		switch rapid.IntRange(0, 4).Draw(t, label) {
		case 0:
			return nil, nil
		case 1:
			exact := genProgram(t, label+" exact")
			return exact, exact
		case 2:
			return genProgram(t, label+" min"), nil
		case 3:
			return nil, genProgram(t, label+" max")
		}
		return genProgram(t, label+" min"), genProgram(t, label+" max")
	}
	p.MinCreated, p.MaxCreated = pair("created")
	p.MinStarted, p.MaxStarted = pair("started")
	w.policy = p
	return w
}

// disturb adds to the target what can make a decision hold.
func (w drawn) disturb(t *rapid.T) drawn {
	machines := slices.Clone(w.snapshot.Machines)
	for i := range machines {
		switch rapid.IntRange(0, 8).Draw(t, "disturbance") {
		case 0:
			machines[i].Metadata = map[string]string{scale.MetaReleaseVersion: rapid.SampledFrom([]string{"7", "8"}).Draw(t, "release")}
		case 1:
			machines[i].Lease = &scale.Lease{
				Owner: "someone", Description: rapid.SampledFrom([]string{"deploy", scale.LeaseDescription}).Draw(t, "lease"),
				ExpiresAt: epoch.Add(time.Duration(rapid.IntRange(-10, 60).Draw(t, "expires")) * time.Second),
			}
		}
	}
	w.snapshot.Machines = machines
	w.snapshot.Complete = rapid.IntRange(0, 3).Draw(t, "complete") > 0
	if rapid.IntRange(0, 3).Draw(t, "release") == 0 {
		w.snapshot.Release = scale.Release{Known: true, Exists: true, Status: "running", Version: 8, CreatedAt: epoch.Add(-time.Duration(rapid.IntRange(0, 90).Draw(t, "release age")) * time.Minute)}
	}
	if rapid.IntRange(0, 3).Draw(t, "backoff") == 0 {
		w.memory = decide.Memory{CreateFailures: 2, NoCreateBefore: epoch.Add(5 * time.Second)}
	}
	return w
}

// mark has a Machine drain.
func mark(m *scale.Machine, until string) {
	m.Metadata, m.Cordoned = maps.Clone(m.Metadata), true
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	m.Metadata[scale.MetaDrain] = until
}

// unmark has a drained Machine serve again.
func unmark(m *scale.Machine) {
	if m.Drained() {
		m.Metadata, m.Cordoned = maps.Clone(m.Metadata), false
		delete(m.Metadata, scale.MetaDrain)
	}
}

// apply returns the snapshot after the plan has been carried out in full, with
// boots under way if booting, else finished.
func apply(s scale.Snapshot, p scale.Plan, booting bool) scale.Snapshot {
	up := scale.StateStarted
	if booting {
		up = scale.StateStarting
	}
	machines := slices.Grow(slices.Clone(s.Machines), len(p.Actions)) // so that byID stays valid
	byID := make(map[scale.MachineID]*scale.Machine)
	for i := range machines {
		byID[machines[i].ID] = &machines[i]
	}
	for _, a := range p.Actions {
		switch a.Verb {
		case scale.Start:
			byID[a.Machine].State, byID[a.Machine].UpdatedAt = up, s.TakenAt
			unmark(byID[a.Machine])
		case scale.Stop:
			byID[a.Machine].State, byID[a.Machine].UpdatedAt = scale.StateStopped, s.TakenAt
			unmark(byID[a.Machine])
		case scale.Suspend:
			byID[a.Machine].State, byID[a.Machine].UpdatedAt = scale.StateSuspended, s.TakenAt
			unmark(byID[a.Machine])
		case scale.Drain:
			mark(byID[a.Machine], scale.DrainMark(a.Until))
		case scale.Undrain:
			unmark(byID[a.Machine])
		case scale.Destroy:
			byID[a.Machine].State, byID[a.Machine].UpdatedAt = scale.StateDestroyed, s.TakenAt
		case scale.Create:
			m := machine("n"+a.Name, up)
			m.Name, m.Region, m.UpdatedAt = a.Name, a.Region, s.TakenAt
			m.Metadata = map[string]string{scale.MetaCreateID: a.CreateID}
			if t := byID[a.Template]; t != nil && t.Release() != "" {
				m.Metadata[scale.MetaReleaseVersion] = t.Release()
			}
			if !a.Launch {
				m.State = scale.StateCreated
				m.Metadata[scale.MetaNotLaunched] = "true"
			}
			machines = append(machines, m)
		}
	}
	s.Machines = slices.DeleteFunc(machines, func(m scale.Machine) bool { return m.State == scale.StateDestroyed })
	slices.SortFunc(s.Machines, func(a, b scale.Machine) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return s
}
