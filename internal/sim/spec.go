package sim

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// AppSpec describes an app with its Machines, to be made in one step.
type AppSpec struct {
	Org  string `json:"org" yaml:"org"` // made when it does not exist
	App  string `json:"app" yaml:"app"`
	Role string `json:"role,omitempty" yaml:"role"`
	// Release gives the app a release; without it the app has none.
	Release  *ReleaseSpec  `json:"release,omitempty" yaml:"release"`
	Machines []MachineSpec `json:"machines,omitempty" yaml:"machines"`
}

// ReleaseSpec is the newest release of an app.
type ReleaseSpec struct {
	Version int    `json:"version,omitempty" yaml:"version"`
	Status  string `json:"status,omitempty" yaml:"status"`
}

// MachineSpec describes a number of like Machines.
type MachineSpec struct {
	Count  int         `json:"count,omitempty" yaml:"count"`   // 0 means 1
	Region string      `json:"region,omitempty" yaml:"region"` // empty means Nearest
	State  scale.State `json:"state,omitempty" yaml:"state"`   // created, started (the default), stopped, suspended or failed
	Group  string      `json:"group,omitempty" yaml:"group"`   // process group; empty writes none
	// Config is the Machines' configuration; empty means a small web server.
	// Group and Metadata are written into its metadata.
	Config     json.RawMessage   `json:"config,omitempty" yaml:"-"`
	Metadata   map[string]string `json:"metadata,omitempty" yaml:"metadata"`
	HostStatus scale.HostStatus  `json:"host_status,omitempty" yaml:"host-status"`
	Cordoned   bool              `json:"cordoned,omitempty" yaml:"cordoned"`
	// IgnoreSignals has the process stop only when its time to stop is up.
	IgnoreSignals bool `json:"ignore_signals,omitempty" yaml:"ignore-signals"`
}

// defaultConfig is the configuration of Machines that a spec gives none.
const defaultConfig = `{"image":"registry.fly.io/%s:deployment-01HSIMULATED","env":{"PORT":"8080"},"init":{},` +
	`"guest":{"cpu_kind":"shared","cpus":1,"memory_mb":256},"metadata":{"fly_platform_version":"v2"},` +
	`"services":[{"protocol":"tcp","internal_port":8080,"autostop":false,"autostart":false,` +
	`"ports":[{"port":80,"handlers":["http"]},{"port":443,"handlers":["tls","http"]}]}],"restart":{"policy":"on-failure"}}`

// AddApp makes an app with its Machines, and returns the Machines' identifiers
// in the order of the spec. The Machines are in their states at once, whatever
// capacities say. Either all of it is made or nothing.
func (w *World) AddApp(call Call, spec AppSpec) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	configs := make([]*machineConfig, len(spec.Machines))
	for i := range spec.Machines {
		cfg, err := w.checkMachineSpec(spec.App, &spec.Machines[i])
		if err != nil {
			return nil, fmt.Errorf("add app %q: machines[%d]: %w", spec.App, i, err)
		}
		configs[i] = cfg
	}
	if spec.Org == "" {
		spec.Org = "personal"
	}
	o, err := w.addOrg(spec.Org, "", spec.Org == "personal")
	if err != nil {
		return nil, err
	}
	a, err := w.addApp(o, spec.App, spec.Role, "")
	if err != nil {
		return nil, fmt.Errorf("add app %q: %w", spec.App, err)
	}
	w.record("app_create", a, nil, call)
	if spec.Release != nil {
		w.putRelease(a, ReleaseInput{Version: spec.Release.Version, Status: spec.Release.Status})
	}
	ids := []string{}
	for i, ms := range spec.Machines {
		for range max(ms.Count, 1) {
			ids = append(ids, w.addFromSpec(a, ms, configs[i]).id)
		}
	}
	return ids, nil
}

func (w *World) checkMachineSpec(appName string, ms *MachineSpec) (*machineConfig, error) {
	if ms.Count < 0 {
		return nil, fmt.Errorf("count %d: must not be negative", ms.Count)
	}
	if ms.Region == "" {
		ms.Region = Nearest
	}
	if r, ok := w.regions[ms.Region]; !ok || r.Deprecated {
		return nil, fmt.Errorf("unknown region %q", ms.Region)
	}
	if ms.State == "" {
		ms.State = scale.StateStarted
	}
	if !persistent(ms.State) {
		return nil, fmt.Errorf("state %q: want created, started, stopped, suspended or failed", ms.State)
	}
	switch ms.HostStatus {
	case "":
		ms.HostStatus = scale.HostOK
	case scale.HostOK, scale.HostUnknown, scale.HostUnreachable:
	default:
		return nil, fmt.Errorf("host status %q: want ok, unknown or unreachable", ms.HostStatus)
	}
	raw := ms.Config
	if len(raw) == 0 {
		raw = fmt.Appendf(nil, defaultConfig, appName)
	}
	cfg, err := parseConfig(raw)
	if err != nil {
		return nil, err
	}
	if ms.Group == "" && len(ms.Metadata) == 0 {
		return cfg, nil
	}
	return cfg.editMetadata(func(metadata map[string]string) {
		if ms.Group != "" {
			metadata[scale.MetaProcessGroup] = ms.Group
		}
		maps.Copy(metadata, ms.Metadata)
	})
}

// addFromSpec puts a Machine into the world in the state it shall have, with
// the events that led there.
func (w *World) addFromSpec(a *app, ms MachineSpec, cfg *machineConfig) *machine {
	m := w.addMachine(a, "", ms.Region, cfg)
	m.cordoned = ms.Cordoned
	m.deaf = ms.IgnoreSignals
	if ms.State != scale.StateCreated {
		w.setState(m, scale.StateStarted, "flyd", nil)
		if ms.State != scale.StateStarted {
			w.setState(m, ms.State, "flyd", nil)
		}
	}
	m.snapshot = ms.State == scale.StateSuspended
	m.hostStatus = ms.HostStatus
	w.tell(m)
	return m
}
