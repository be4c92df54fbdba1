package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// platform is the world as the passes see it and change it, without the HTTP between.
type platform struct {
	world *sim.World
	app   string
	names map[string]scale.MachineID // m1, m2, … in order of creation
	ids   map[scale.MachineID]string
}

// machines returns the app's Machines, sorted by ID, and gives new ones their names.
func (p *platform) machines() ([]scale.Machine, error) {
	list, err := p.world.ListMachines(p.app, sim.ListFilter{})
	if err != nil {
		return nil, err
	}
	out := make([]scale.Machine, 0, len(list))
	for _, m := range list {
		id := scale.MachineID(m.ID)
		if p.ids[id] == "" {
			p.ids[id] = fmt.Sprintf("m%d", len(p.ids)+1)
			p.names[p.ids[id]] = id
		}
		if m.State == scale.StateDestroyed {
			continue
		}
		out = append(out, machine(m))
	}
	slices.SortFunc(out, func(a, b scale.Machine) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out, nil
}

// machine is a Machine of the world as the client would have read it.
func machine(m sim.Machine) scale.Machine {
	out := scale.Machine{
		ID: scale.MachineID(m.ID), Name: m.Name, State: m.State, Region: scale.Region(m.Region), Group: scale.ProcessGroup(m.Group),
		InstanceID: m.InstanceID, Host: m.HostStatus, Cordoned: m.Cordoned, CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt, Metadata: m.Metadata,
	}
	if out.Host == scale.HostOK {
		out.Config = m.Config
	}
	return out
}

// Overview implements reconcile.Fleet.
func (p *platform) Overview(scale.App) (scale.Snapshot, bool) { return scale.Snapshot{}, false }

// Snapshot implements reconcile.Fleet.
func (p *platform) Snapshot(_ context.Context, app scale.App) (scale.Snapshot, error) {
	list, err := p.machines()
	return scale.Snapshot{App: app, Machines: list, TakenAt: p.world.Now(), Complete: true}, err
}

// Release implements reconcile.Fleet.
func (p *platform) Release(context.Context, scale.App) (scale.Release, error) {
	return scale.Release{Known: true}, nil
}

// Wrote implements reconcile.Fleet. The world shows every write at once.
func (p *platform) Wrote(scale.App, []scale.Outcome) {}

// Apply implements reconcile.Actuator.
func (p *platform) Apply(_ context.Context, s scale.Snapshot, plan scale.Plan) []scale.Outcome {
	out := make([]scale.Outcome, 0, len(plan.Actions))
	for _, a := range plan.Actions {
		o := scale.Outcome{Action: a, Result: scale.Done, Machine: a.Machine, At: p.world.Now()}
		id, err := p.do(s, a)
		if err != nil {
			o.Result, o.Refusal, o.Reason = scale.Refused, scale.RefusedOther, err.Error()
			if a.Verb == scale.Create {
				o.Refusal = scale.RefusedCapacity
			}
		} else if a.Verb == scale.Create {
			o.Machine, o.Region = id, a.Region
		}
		out = append(out, o)
	}
	return out
}

func (p *platform) do(s scale.Snapshot, a scale.Action) (scale.MachineID, error) {
	id, call := string(a.Machine), sim.Call{}
	mark := func(until string) error {
		return p.world.EditMetadata(call, p.app, id, "", func(metadata map[string]string) {
			if until == "" {
				delete(metadata, scale.MetaDrain)
			} else {
				metadata[scale.MetaDrain] = until
			}
		})
	}
	switch a.Verb {
	case scale.Create:
		return p.create(s, a)
	case scale.Start:
		_, err := p.world.StartMachine(call, p.app, id)
		return a.Machine, err
	case scale.Stop:
		return a.Machine, p.world.StopMachine(call, p.app, id, sim.StopInput{})
	case scale.Suspend:
		err := p.world.SuspendMachine(call, p.app, id)
		if refused, ok := errors.AsType[*sim.Error](err); ok && refused.Status == http.StatusPreconditionFailed {
			err = p.world.StopMachine(call, p.app, id, sim.StopInput{})
		}
		return a.Machine, err
	case scale.Destroy:
		return a.Machine, p.world.DestroyMachine(call, p.app, id, true)
	case scale.Drain:
		return a.Machine, errors.Join(mark(scale.DrainMark(a.Until)), p.world.CordonMachine(call, p.app, id, true))
	case scale.Undrain:
		return a.Machine, errors.Join(p.world.CordonMachine(call, p.app, id, false), mark(""))
	}
	return "", fmt.Errorf("unknown verb %q", a.Verb)
}

func (p *platform) create(s scale.Snapshot, a scale.Action) (scale.MachineID, error) {
	i := slices.IndexFunc(s.Machines, func(m scale.Machine) bool { return m.ID == a.Template })
	if i < 0 {
		return "", fmt.Errorf("there is no Machine %s to clone", a.Template)
	}
	add := map[string]string{scale.MetaCreateID: a.CreateID}
	if !a.Launch {
		add[scale.MetaNotLaunched] = "true"
	}
	cfg, err := flyapi.CloneConfig(s.Machines[i], add)
	if err != nil {
		return "", err
	}
	for _, region := range append([]scale.Region{a.Region}, a.Fallbacks...) {
		var made sim.Machine
		made, _, err = p.world.CreateMachine(sim.Call{}, p.app, sim.MachineInput{
			Name: a.Name, Region: string(region), Config: cfg, SkipLaunch: !a.Launch,
		})
		if err == nil {
			return scale.MachineID(made.ID), nil
		}
	}
	return "", err
}

// metric is a source whose values the timeline sets.
type metric struct {
	name     string
	platform *platform
	value    *Value // nil before the timeline says anything
}

// Metric implements source.Source.
func (m *metric) Metric() string { return m.name }

// Close implements source.Source.
func (m *metric) Close() error { return nil }

// Collect implements source.Source.
func (m *metric) Collect(_ context.Context, apps []scale.App) map[scale.App]scale.Sample {
	return source.Same(apps, m.sample(m.platform.world.Now()))
}

func (m *metric) sample(now time.Time) scale.Sample {
	switch {
	case m.value == nil || m.value.Word == "unknown":
		return source.NewSample(m.name, 0, now, errors.New("the server does not answer"))
	case m.value.Word == "empty":
		return source.NewSample(m.name, 0, now, source.ErrEmpty)
	case m.value.Machines == nil:
		return source.NewSample(m.name, m.value.Number, now, nil)
	}
	sum, byID := 0.0, map[scale.MachineID]float64{}
	for name, v := range m.value.Machines {
		if id, ok := m.platform.names[name]; ok {
			byID[id] = v
			sum += v
		}
	}
	s := source.NewSample(m.name, sum, now, nil)
	s.Machines = byID
	return s
}
