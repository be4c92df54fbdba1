package flysim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func (h *Handler) routeMachines() {
	const machines, one = "/v1/apps/{app}/machines", "/v1/apps/{app}/machines/{id}"
	h.handle("GET "+machines, "machine_list", h.listMachines)
	h.handle("POST "+machines, "machine_create", h.createMachine)
	h.handle("GET "+one, "machine_get", h.getMachine)
	h.handle("POST "+one, "machine_update", h.updateMachine)
	h.handle("DELETE "+one, "machine_destroy", h.destroyMachine)
	h.handle("POST "+one+"/start", "machine_start", h.startMachine)
	h.handle("POST "+one+"/stop", "machine_stop", h.stopMachine)
	h.handle("POST "+one+"/suspend", "machine_suspend", func(c *call) (reply, error) {
		return done(h.world.SuspendMachine(c.by(), c.app, c.machine))
	})
	h.handle("POST "+one+"/restart", "machine_restart", func(c *call) (reply, error) {
		return done(h.world.RestartMachine(c.by(), c.app, c.machine))
	})
	h.handle("POST "+one+"/signal", "machine_signal", h.signalMachine)
	h.handle("POST "+one+"/cordon", "machine_cordon", func(c *call) (reply, error) {
		return done(h.world.CordonMachine(c.by(), c.app, c.machine, true))
	})
	h.handle("POST "+one+"/uncordon", "machine_uncordon", func(c *call) (reply, error) {
		return done(h.world.CordonMachine(c.by(), c.app, c.machine, false))
	})
	h.handle("GET "+one+"/wait", "machine_wait", h.waitMachine)
	h.handle("GET "+one+"/events", "machine_events", h.machineEvents)
	h.handle("GET "+one+"/versions", "machine_versions", h.machineVersions)

	h.handle("GET "+one+"/lease", "machine_lease_get", h.getLease)
	h.handle("POST "+one+"/lease", "machine_lease_acquire", h.acquireLease)
	h.handle("DELETE "+one+"/lease", "machine_lease_release", h.releaseLease)

	h.handle("GET "+one+"/metadata", "metadata_get", func(c *call) (reply, error) {
		metadata, err := h.world.Metadata(c.app, c.machine)
		return reply{http.StatusOK, metadata}, err
	})
	h.handle("PUT "+one+"/metadata", "metadata_set", h.bulkMetadata)
	h.handle("PATCH "+one+"/metadata", "metadata_set", h.bulkMetadata)
	h.handle("GET "+one+"/metadata/{key}", "metadata_get", h.getMetadataKey)
	h.handle("POST "+one+"/metadata/{key}", "metadata_set", h.setMetadataKey)
	h.handle("DELETE "+one+"/metadata/{key}", "metadata_delete", h.deleteMetadataKey)
}

// listFilter reads what the lists of an app and of an org have in common.
func listFilter(query url.Values) sim.ListFilter {
	f := sim.ListFilter{IncludeDeleted: flag(query, "include_deleted"), Region: query.Get("region")}
	for _, list := range query["state"] {
		for s := range strings.SplitSeq(list, ",") {
			if s = strings.TrimSpace(s); s != "" {
				f.States = append(f.States, scale.State(s))
			}
		}
	}
	for key, values := range query {
		if name, ok := strings.CutPrefix(key, "metadata."); ok && len(values) > 0 {
			if f.Metadata == nil {
				f.Metadata = make(map[string]string)
			}
			f.Metadata[name] = values[0]
		}
	}
	return f
}

func flag(query url.Values, name string) bool {
	if !query.Has(name) {
		return false
	}
	v := query.Get(name)
	on, err := strconv.ParseBool(v)
	return v == "" || (err == nil && on)
}

// lists applies the faults that lists suffer from; empty means to answer with
// no rows.
func (h *Handler) lists(c *call, f *sim.ListFilter) (empty bool) {
	q := h.query(c)
	if fault := h.world.Fault(q, sim.FaultStale); fault != nil {
		f.Lag = time.Duration(fault.Duration)
	}
	if fault := h.world.Fault(q, sim.FaultPartial); fault != nil {
		f.Omit = fault.Regions
	}
	f.Short = h.world.Fault(q, sim.FaultShort) != nil
	return h.world.Fault(q, sim.FaultEmpty) != nil
}

func (h *Handler) listMachines(c *call) (reply, error) {
	query := c.URL.Query()
	f := listFilter(query)
	empty := h.lists(c, &f)
	machines, err := h.world.ListMachines(c.app, f)
	if err != nil {
		return reply{}, err
	}
	out := make([]machineJSON, 0, len(machines))
	if !empty {
		view := machineView{leases: flag(query, "include_leases"), summary: flag(query, "summary")}
		for _, m := range machines {
			out = append(out, toMachineJSON(m, view))
		}
	}
	return ok(out)
}

func (h *Handler) getMachine(c *call) (reply, error) {
	m, err := h.world.Machine(c.app, c.machine)
	if err != nil {
		return reply{}, err
	}
	return ok(toMachineJSON(m, machineView{leases: flag(c.URL.Query(), "include_leases")}))
}

func (h *Handler) createMachine(c *call) (reply, error) {
	var in sim.MachineInput
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	m, nonce, err := h.world.CreateMachine(c.by(), c.app, in)
	if err != nil {
		return reply{}, err
	}
	out := toMachineJSON(m, machineView{})
	out.Nonce = nonce
	return ok(out)
}

func (h *Handler) updateMachine(c *call) (reply, error) {
	var in sim.MachineInput
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	m, err := h.world.UpdateMachine(c.by(), c.app, c.machine, in)
	if err != nil {
		return reply{}, err
	}
	return ok(toMachineJSON(m, machineView{}))
}

func (h *Handler) startMachine(c *call) (reply, error) {
	previous, err := h.world.StartMachine(c.by(), c.app, c.machine)
	if err != nil {
		return reply{}, err
	}
	return ok(map[string]any{"previous_state": previous, "migrated": false, "new_host": ""})
}

func (h *Handler) stopMachine(c *call) (reply, error) {
	var body struct {
		Signal  json.RawMessage `json:"signal"`
		Timeout json.RawMessage `json:"timeout"`
	}
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	timeout, err := sim.ParseStopTimeout(body.Timeout)
	if err != nil {
		return reply{}, err
	}
	in := sim.StopInput{Signal: strings.Trim(string(body.Signal), `"`), Timeout: timeout}
	return done(h.pastLease(c, func() error { return h.world.StopMachine(c.by(), c.app, c.machine, in) }))
}

func (h *Handler) destroyMachine(c *call) (reply, error) {
	query := c.URL.Query()
	force := flag(query, "force") || flag(query, "kill")
	return done(h.pastLease(c, func() error { return h.world.DestroyMachine(c.by(), c.app, c.machine, force) }))
}

// pastLease has a call on a Machine that somebody else holds the lease of wait
// for its end. Without a nonce only: a wrong one is refused at once.
func (h *Handler) pastLease(c *call, act func() error) error {
	var err error
	_, waited := h.await(c.Context(), c.machine, h.world.Now().Add(24*time.Hour), func() (bool, error) {
		err = act()
		_, leased := errors.AsType[*sim.LeasedError](err)
		return !leased || h.opts.RefuseLeased || c.by().Nonce != "", nil
	})
	if waited != nil {
		return waited
	}
	return err
}

func (h *Handler) signalMachine(c *call) (reply, error) {
	var body struct {
		Signal json.RawMessage `json:"signal"` // a number or a name
	}
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	return done(h.world.SignalMachine(c.by(), c.app, c.machine, strings.Trim(string(body.Signal), `"`)))
}

func (h *Handler) waitMachine(c *call) (reply, error) {
	query := c.URL.Query()
	q := sim.WaitQuery{States: listFilter(query).States, Version: query.Get("version"), FromEvent: query.Get("from_event_id")}
	if q.Version == "" {
		q.Version = query.Get("instance_id")
	}
	timeout := sim.DefaultWait
	if text := query.Get("timeout"); text != "" {
		seconds, err := strconv.Atoi(strings.TrimSuffix(text, "s"))
		timeout = time.Duration(seconds) * time.Second
		if err != nil || timeout < time.Second || timeout > sim.MaxWait {
			return reply{}, &sim.Error{Status: http.StatusBadRequest, Text: fmt.Sprintf("invalid_argument: timeout %q is not a number of seconds from 1 to %d", text, int(sim.MaxWait.Seconds()))}
		}
	}
	if err := q.Validate(); err != nil {
		return reply{}, err
	}
	var result sim.WaitResult
	reached, err := h.await(c.Context(), c.machine, h.world.Now().Add(timeout), func() (reached bool, err error) {
		result, reached, err = h.world.Reached(c.app, c.machine, q)
		return reached, err
	})
	if err != nil {
		return reply{}, err
	}
	if !reached {
		return reply{}, h.world.WaitTimeout(c.app, c.machine, q)
	}
	return ok(struct {
		OK bool `json:"ok"`
		sim.WaitResult
	}{true, result})
}

func (h *Handler) machineEvents(c *call) (reply, error) {
	limit, most := 20, 50
	if text := c.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return reply{}, &sim.Error{Status: http.StatusBadRequest, Text: "invalid_argument: invalid limit"}
		}
		limit = min(n, most)
	}
	m, err := h.world.Machine(c.app, c.machine)
	if err != nil {
		return reply{}, err
	}
	return ok(m.Events[:min(limit, len(m.Events))])
}

func (h *Handler) machineVersions(c *call) (reply, error) {
	versions, err := h.world.Versions(c.app, c.machine)
	return reply{http.StatusOK, versions}, err
}

func (h *Handler) getLease(c *call) (reply, error) {
	l, err := h.world.Lease(c.app, c.machine)
	if err != nil {
		return reply{}, err
	}
	return ok(toLeaseJSON(l))
}

func (h *Handler) acquireLease(c *call) (reply, error) {
	var in struct {
		TTL         int    `json:"ttl"`
		Description string `json:"description"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if text := c.URL.Query().Get("ttl"); text != "" {
		ttl, err := strconv.Atoi(text)
		if err != nil || ttl < 0 {
			return reply{}, &sim.Error{Status: http.StatusBadRequest, Text: "invalid_argument: invalid ttl"}
		}
		in.TTL = ttl
	}
	l, err := h.world.AcquireLease(c.by(), c.app, c.machine, in.Description, time.Duration(in.TTL)*time.Second)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, toLeaseJSON(l)}, nil
}

func (h *Handler) releaseLease(c *call) (reply, error) {
	if err := h.world.ReleaseLease(c.by(), c.app, c.machine); err != nil {
		return reply{}, err
	}
	return ok(leaseJSON{Status: "success", Data: map[string]any{"ok": true}})
}

func (h *Handler) getMetadataKey(c *call) (reply, error) {
	metadata, err := h.world.Metadata(c.app, c.machine)
	if err != nil {
		return reply{}, err
	}
	value, found := metadata[c.PathValue("key")]
	if !found {
		return reply{}, &sim.Error{Status: http.StatusNotFound, Text: "not_found: metadata key not found"}
	}
	return ok(map[string]string{"value": value})
}

func (h *Handler) setMetadataKey(c *call) (reply, error) {
	var in struct {
		Value string `json:"value"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	return h.editMetadata(c, "", func(metadata map[string]string) { metadata[c.PathValue("key")] = in.Value })
}

func (h *Handler) deleteMetadataKey(c *call) (reply, error) {
	return h.editMetadata(c, "", func(metadata map[string]string) { delete(metadata, c.PathValue("key")) })
}

func (h *Handler) bulkMetadata(c *call) (reply, error) {
	var in struct {
		Metadata       map[string]string `json:"metadata"`
		MachineVersion string            `json:"machine_version"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	return h.editMetadata(c, in.MachineVersion, func(metadata map[string]string) {
		if c.Method == http.MethodPut {
			clear(metadata)
		}
		maps.Copy(metadata, in.Metadata)
	})
}

func (h *Handler) editMetadata(c *call, version string, edit func(map[string]string)) (reply, error) {
	return reply{status: http.StatusNoContent}, h.world.EditMetadata(c.by(), c.app, c.machine, version, edit)
}
