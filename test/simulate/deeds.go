package simulate

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// crash has the program die at the call that the fuse names, and start again after
// the pause.
func (r *run) crash(f fuse, pause time.Duration) {
	p := r.current()
	f.crash = func() {
		r.record.note("process %d crashes", p.number)
		r.count("crash", 1)
		p.stop()
		r.deeds.Go(func() {
			<-p.done
			time.Sleep(pause)
			r.start()
		})
	}
	p.wire.light(&f)
}

// restart stops the program as SIGTERM does, and starts it again after the pause.
func (r *run) restart(pause time.Duration) {
	p := r.current()
	// One that crashes is started again by whoever had it crash.
	if !p.wire.retire() {
		return
	}
	r.deeds.Go(func() {
		r.end(p)
		time.Sleep(pause)
		r.start()
	})
}

// setForward sets the platform's clock forward.
func (r *run) setForward(step time.Duration) {
	r.record.note("the platform's clock is set forward by %s", step)
	r.record.setSkew(step)
	r.world.Advance(r.now())
}

// loseHost has the host of one of the target's Machines get out of reach, unless it
// were the last one that has not.
func (r *run) loseHost(d draw, t target) {
	ms := r.machines(t)
	reachable := 0
	for _, m := range ms {
		if m.HostStatus == scale.HostOK {
			reachable++
		}
	}
	if reachable < 2 || r.shrinks(t, len(ms)) {
		return
	}
	status := scale.HostUnreachable
	if d.chance(0.3) {
		status = scale.HostUnknown
	}
	_, err := r.world.SetHostStatus(sim.HostSelector{Machine: pick(d, ms).ID}, status)
	r.try(nil, err)
}

func (r *run) hostsBack() {
	for _, spec := range r.story.Apps {
		_, err := r.world.SetHostStatus(sim.HostSelector{App: spec.App}, scale.HostOK)
		r.try(nil, err)
	}
}

// deploy rolls out a release: it takes the leases, changes one Machine after the
// other, and ends the release. Some fail half-way, and are made again.
func (r *run) deploy(d draw, app string) {
	if !r.deploying(app, true) {
		return // two do not deploy one app at the same time
	}
	fails := d.chance(0.3)
	if fails {
		r.count("deploy that fails", 1)
	}
	r.deeds.Go(func() {
		defer r.deploying(app, false)
		if fails {
			r.rollOut(d, app, true)
			time.Sleep(d.between(time.Second, time.Minute))
		}
		r.rollOut(d, app, false)
	})
}

func (r *run) deploying(app string, begins bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if begins && r.deploys[app] {
		return false
	}
	r.deploys[app] = begins
	return true
}

// rollOut makes one release.
func (r *run) rollOut(d draw, app string, fails bool) {
	release, err := r.world.PutRelease(hand, app, sim.ReleaseInput{New: true, Status: "running"})
	if err != nil {
		r.try(nil, err)
		return
	}
	r.record.rollsOut(app)
	status := "complete"
	for _, id := range r.outdated(app, release.Version) {
		time.Sleep(d.between(500*time.Millisecond, 4*time.Second))
		if fails && d.chance(0.3) {
			status = "failed"
			break
		}
		r.world.Advance(r.now())
		r.update(app, id, release)
	}
	time.Sleep(d.between(time.Second, 4*time.Second))
	r.world.Advance(r.now())
	if _, err := r.world.PutRelease(hand, app, sim.ReleaseInput{Version: release.Version, Status: status}); err != nil {
		r.try(nil, err)
	}
	r.record.rolledOut(app)
}

// outdated returns the app's Machines that are not of the release.
func (r *run) outdated(app string, version int) []string {
	var out []string
	for _, summary := range r.world.Summary(app) {
		for _, m := range summary.Machines {
			full, err := r.world.Machine(app, m.ID)
			if err == nil && m.State != scale.StateDestroying && full.Metadata[scale.MetaReleaseVersion] != strconv.Itoa(version) {
				out = append(out, m.ID)
			}
		}
	}
	return out
}

// update changes a Machine to the release, under its lease.
func (r *run) update(app, id string, release sim.Release) {
	lease, err := r.world.AcquireLease(hand, app, id, "deploy", 20*time.Second)
	if err != nil {
		r.try(nil, err)
		return
	}
	call := hand
	call.Nonce = lease.Nonce
	defer func() { r.try(nil, r.world.ReleaseLease(call, app, id)) }()
	m, err := r.world.Machine(app, id)
	if err != nil {
		return
	}
	config, err := released(m.Config, app, release)
	if err == nil {
		_, err = r.world.UpdateMachine(call, app, id, sim.MachineInput{Config: config})
	}
	r.try(nil, err)
}

// released returns a configuration with the image and the marks of a release.
func released(config json.RawMessage, app string, release sim.Release) (json.RawMessage, error) {
	config, err := remark(config, func(metadata map[string]any) {
		metadata[scale.MetaReleaseID], metadata[scale.MetaReleaseVersion] = release.ID, strconv.Itoa(release.Version)
	})
	if err != nil {
		return nil, err
	}
	var c map[string]any
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	c["image"] = fmt.Sprintf("registry.fly.io/%s:deployment-%d", app, release.Version)
	return json.Marshal(c)
}

// remark returns a configuration with other metadata.
func remark(config json.RawMessage, change func(metadata map[string]any)) (json.RawMessage, error) {
	var c map[string]any
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	metadata, _ := c["metadata"].(map[string]any)
	if metadata == nil {
		metadata = make(map[string]any)
		c["metadata"] = metadata
	}
	change(metadata)
	return json.Marshal(c)
}

// alignReleases has people deploy what a deploy passed over, such as a Machine that
// was made just before it or whose host was out of reach.
func (r *run) alignReleases() {
	for _, spec := range r.story.Apps {
		app, err := r.world.App(spec.App)
		if err != nil || app.Release == nil || app.Release.Version < 2 {
			continue
		}
		for _, id := range r.outdated(spec.App, app.Release.Version) {
			r.update(spec.App, id, *app.Release)
		}
	}
}

// uncordon puts all Machines back that people took out.
func (r *run) uncordon() {
	for _, spec := range r.story.Apps {
		for _, app := range r.world.Summary(spec.App) {
			for _, m := range app.Machines {
				if m.Cordoned {
					r.try(nil, r.world.CordonMachine(hand, app.App, m.ID, false))
				}
			}
		}
	}
}
