package sim

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// MachineInput is the body of a create or update call.
type MachineInput struct {
	Name                    string          `json:"name"`
	Region                  string          `json:"region"`
	Config                  json.RawMessage `json:"config"`
	SkipLaunch              bool            `json:"skip_launch"`
	SkipServiceRegistration bool            `json:"skip_service_registration"`
	LeaseTTL                int             `json:"lease_ttl"` // seconds; 0 takes no lease
	CurrentVersion          string          `json:"current_version"`
}

// CreateMachine creates a Machine and, unless told not to, starts to launch
// it. The nonce is that of the lease it was asked to take.
func (w *World) CreateMachine(call Call, appName string, in MachineInput) (created Machine, nonce string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[appName]
	if !ok {
		return Machine{}, "", appNotFound()
	}
	cfg, err := parseConfig(in.Config)
	if err != nil {
		return Machine{}, "", err
	}
	if other := a.byName[in.Name]; in.Name != "" && other != nil {
		return Machine{}, "", refuse(http.StatusConflict,
			"already_exists: unique machine name violation, machine ID %s already exists with name %q", other.id, in.Name)
	}
	region, err := w.placeMachine(a, in.Region, cfg, in.SkipLaunch)
	if err != nil {
		return Machine{}, "", err
	}
	m := w.addMachine(a, in.Name, region, cfg)
	m.cordoned = in.SkipServiceRegistration
	if in.LeaseTTL > 0 {
		m.lease = w.newLease(m, call.Owner, "", time.Duration(in.LeaseTTL)*time.Second)
		nonce = m.lease.nonce
	}
	if !in.SkipLaunch {
		w.launch(m)
	}
	w.record("machine_create", a, m, call)
	return w.view(m), nonce, nil
}

// launch has a created Machine start by itself once its image is there.
func (w *World) launch(m *machine) {
	m.launching = true
	w.tell(m)
	w.regions[m.region].running++
	if delay, ok := w.delayOf(m, scale.StateCreated, w.timings.Prepare); ok {
		w.then(m, delay, func() { w.boot(m, w.timings.Boot, "flyd") })
	}
}

// boot takes the Machine through starting to started.
func (w *World) boot(m *machine, span Span, source string) {
	w.setState(m, scale.StateStarting, source, nil)
	if delay, ok := w.delayOf(m, scale.StateStarting, span); ok {
		w.then(m, delay, func() {
			m.snapshot = false
			w.setState(m, scale.StateStarted, "flyd", nil)
		})
	}
}

// delayOf draws how long the Machine stays in a state; false when a fault has
// it stuck there for good.
func (w *World) delayOf(m *machine, in scale.State, span Span) (time.Duration, bool) {
	delay := w.draw(span)
	f := w.matchFault(Query{Op: "machine_boot", App: m.app.name, Org: m.app.org.slug, Region: m.region, Machine: m.id, state: in}, FaultStuck)
	if f == nil {
		return delay, true
	}
	return delay + time.Duration(f.Duration), f.Duration > 0
}

// then schedules what follows, unless the Machine's state changes before.
func (w *World) then(m *machine, d time.Duration, next func()) {
	epoch := m.epoch
	w.after(d, func() {
		switch {
		case m.epoch != epoch:
		case m.hostStatus != scale.HostOK:
			m.postponed = next
		default:
			next()
		}
	})
}

// UpdateMachine replaces a Machine's configuration.
func (w *World) UpdateMachine(call Call, appName, id string, in MachineInput) (Machine, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return Machine{}, err
	}
	if _, err := allow(m, verbUpdate); err != nil {
		return Machine{}, err
	}
	if in.CurrentVersion != "" && in.CurrentVersion != m.instanceID {
		return Machine{}, precondition("current_version %s does not match the machine's version %s", in.CurrentVersion, m.instanceID)
	}
	if in.Region != "" && in.Region != m.region {
		return Machine{}, invalid("the region of a machine cannot be changed")
	}
	cfg, err := parseConfig(in.Config)
	if err != nil {
		return Machine{}, err
	}
	w.newVersion(m, cfg)
	m.snapshot = false
	was := m.state
	if was == scale.StateStarted {
		w.setState(m, scale.StateReplacing, "user", nil)
		w.then(m, w.draw(w.timings.Replace), func() {
			if in.SkipLaunch {
				w.setState(m, scale.StateStopped, "flyd", nil)
				return
			}
			w.setState(m, scale.StateStarted, "flyd", nil)
		})
	} else {
		back := scale.StateStopped
		if was == scale.StateCreated {
			back = scale.StateCreated
		}
		launch := m.launching
		w.setState(m, scale.StateUpdating, "user", nil)
		w.then(m, w.draw(w.timings.Replace), func() {
			w.setState(m, back, "flyd", nil)
			if launch {
				w.launch(m)
			}
		})
	}
	w.record("machine_update", m.app, m, call)
	return w.view(m), nil
}

// StartMachine starts a Machine and returns the state it was in.
func (w *World) StartMachine(call Call, appName, id string) (previous scale.State, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return "", err
	}
	verdict, err := allow(m, verbStart)
	if err != nil {
		return "", err
	}
	previous = m.state
	if verdict == noop {
		return previous, nil
	}
	if w.now.Before(m.coldUntil) {
		return "", precondition("machine still active, refusing to start")
	}
	if err := w.reserveStart(m); err != nil {
		return "", err
	}
	span := w.timings.Start
	switch {
	case m.snapshot:
		span = w.timings.Resume
	case m.startedAt.IsZero():
		span = w.timings.Boot
	}
	w.boot(m, span, "user")
	w.record("machine_start", m.app, m, call)
	return previous, nil
}

// StopInput says how to stop a Machine.
type StopInput struct {
	Signal  string
	Timeout time.Duration // 0 means the Machine's own
}

// The platform's limits of how long a process may take to stop.
const (
	defaultStopTimeout = 5 * time.Second
	maxStopTimeout     = 300 * time.Second
)

// StopMachine stops a Machine.
func (w *World) StopMachine(call Call, appName, id string, in StopInput) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return err
	}
	verdict, err := allow(m, verbStop)
	if err != nil || verdict == noop {
		return err
	}
	took := w.draw(w.timings.Stop)
	if m.deaf && m.state == scale.StateStarted && in.Signal != "SIGKILL" {
		took = m.stopTimeout(in.Timeout)
	}
	m.snapshot = false
	w.setState(m, scale.StateStopping, "user", nil)
	w.then(m, took, func() { w.exit(m, 0, true) })
	w.record("machine_stop", m.app, m, call)
	return nil
}

func (m *machine) stopTimeout(asked time.Duration) time.Duration {
	if asked <= 0 {
		asked, _ = ParseStopTimeout(m.cfg.facts.StopConfig.Timeout)
	}
	if asked <= 0 {
		asked = defaultStopTimeout
	}
	return min(asked, maxStopTimeout)
}

// ParseStopTimeout reads a duration as calls carry it: a string such as "5s",
// or a number of nanoseconds. Nothing is 0.
func ParseStopTimeout(raw json.RawMessage) (time.Duration, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, invalid("invalid timeout %q", text)
		}
		return d, nil
	}
	var ns int64
	if err := json.Unmarshal(raw, &ns); err != nil {
		return 0, invalid("invalid timeout %s", raw)
	}
	return time.Duration(ns), nil
}

// exit ends the Machine's process. A stop that was asked for ends it for good;
// otherwise the restart policy decides.
func (w *World) exit(m *machine, code int, asked bool) {
	request := map[string]any{"exit_event": map[string]any{
		"exit_code": code, "guest_exit_code": code, "guest_signal": -1, "oom_killed": false,
		"requested_stop": asked, "restarting": false, "signal": -1, "exited_at": w.now,
	}}
	policy := m.cfg.facts.Restart.Policy
	if !asked && (policy == "always" || (policy != "no" && code != 0)) {
		w.restart(m, "flyd")
		return
	}
	w.setState(m, scale.StateStopped, "flyd", request)
	m.coldUntil = w.now.Add(w.draw(w.timings.StillActive))
	if m.cfg.facts.AutoDestroy {
		w.destroy(m, w.draw(w.timings.Destroy))
	}
}

// SuspendMachine suspends a Machine.
func (w *World) SuspendMachine(call Call, appName, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return err
	}
	verdict, err := allow(m, verbSuspend)
	if err != nil || verdict == noop {
		return err
	}
	switch f := m.cfg.facts; {
	case f.Guest.MemoryMB > 2048:
		return precondition("unable to suspend machine: it has more than 2048 MB of memory")
	case f.Init.SwapSizeMB != nil && *f.Init.SwapSizeMB > 0:
		return precondition("unable to suspend machine: it has swap")
	case f.Schedule != "":
		return precondition("unable to suspend machine: it has a schedule")
	case f.Guest.GPUKind != "":
		return precondition("unable to suspend machine: it has a GPU")
	}
	w.setState(m, scale.StateSuspending, "user", nil)
	w.then(m, w.draw(w.timings.Suspend), func() {
		m.snapshot = true
		w.setState(m, scale.StateSuspended, "flyd", nil)
	})
	w.record("machine_suspend", m.app, m, call)
	return nil
}

// RestartMachine restarts a Machine, or starts one that does not run.
func (w *World) RestartMachine(call Call, appName, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return err
	}
	if _, err := allow(m, verbRestart); err != nil {
		return err
	}
	if !running(m.state) {
		if err := w.reserveStart(m); err != nil {
			return err
		}
	}
	w.restart(m, "user")
	w.record("machine_restart", m.app, m, call)
	return nil
}

func (w *World) restart(m *machine, source string) {
	m.snapshot = false
	w.setState(m, scale.StateRestarting, source, nil)
	w.then(m, w.draw(w.timings.Restart), func() { w.setState(m, scale.StateStarted, "flyd", nil) })
}

// SignalMachine sends a signal to a Machine's process. Only those that end a
// process do something.
func (w *World) SignalMachine(call Call, appName, id, signal string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return err
	}
	if _, err := allow(m, verbSignal); err != nil {
		return err
	}
	switch signal {
	case "SIGKILL", "9":
		w.exit(m, 137, false)
	case "SIGTERM", "15", "SIGINT", "2", "SIGQUIT", "3":
		if !m.deaf {
			w.exit(m, 0, false)
		}
	case "SIGHUP", "1", "SIGUSR1", "10", "SIGUSR2", "12":
	default:
		return invalid("unknown signal %q", signal)
	}
	w.record("machine_signal", m.app, m, call)
	return nil
}

// DestroyMachine destroys a Machine. Without force it must not be running.
func (w *World) DestroyMachine(call Call, appName, id string, force bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return err
	}
	if _, err := allow(m, verbDestroy); err != nil {
		if !force || gone(m) || m.state == scale.StateDestroying {
			return err
		}
	}
	w.destroy(m, w.draw(w.timings.Destroy))
	w.record("machine_destroy", m.app, m, call)
	return nil
}

func (w *World) destroy(m *machine, took time.Duration) {
	m.lease = nil
	m.snapshot = false
	w.setState(m, scale.StateDestroying, "user", nil)
	w.then(m, took, func() { w.finishDestroy(m) })
}

func (w *World) finishDestroy(m *machine) {
	w.setState(m, scale.StateDestroyed, "flyd", nil)
	w.regions[m.region].machines--
	if m.app.byName[m.name] == m {
		delete(m.app.byName, m.name)
	}
	for _, v := range m.app.volumes {
		if v.AttachedMachine == m.id {
			v.AttachedMachine = ""
		}
	}
	w.after(time.Duration(w.timings.DestroyedVisible), func() { w.hide(m) })
}

// CordonMachine takes a Machine out of routing, or puts it back.
func (w *World) CordonMachine(call Call, appName, id string, cordoned bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.changeable(call, appName, id)
	if err != nil {
		return err
	}
	if gone(m) || m.state == scale.StateDestroying {
		return machineNotFound()
	}
	op := "machine_uncordon"
	if cordoned {
		op = "machine_cordon"
	}
	m.cordoned = cordoned
	w.touch(m)
	w.record(op, m.app, m, call)
	return nil
}

// changeable finds a Machine that the caller may change: its host answers and
// nobody else holds its lease.
func (w *World) changeable(call Call, appName, id string) (*machine, error) {
	m, err := w.findToChange(appName, id)
	if err != nil {
		return nil, err
	}
	if err := w.leaseAllows(m, call); err != nil {
		return nil, err
	}
	return m, nil
}

// allow is allowed with an error that may be compared with nil.
func allow(m *machine, v verb) (verdict, error) {
	got, refusal := m.allowed(v)
	if refusal != nil {
		return got, refusal
	}
	return got, nil
}
