package flysim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// routeAdmin serves the administration. It is not part of the platform: no
// authorization, no rate limits, no faults, not counted.
func (h *Handler) routeAdmin() {
	h.admin("GET /_sim/faults", func(*http.Request) (any, error) { return h.world.Faults(), nil })
	h.admin("POST /_sim/faults", h.orderFaults)
	h.admin("DELETE /_sim/faults", func(*http.Request) (any, error) {
		h.world.ClearFaults()
		return nil, nil
	})
	h.admin("DELETE /_sim/faults/{fault}", func(r *http.Request) (any, error) {
		if !h.world.DropFault(r.PathValue("fault")) {
			return nil, &sim.Error{Status: http.StatusNotFound, Text: fmt.Sprintf("no fault %q", r.PathValue("fault"))}
		}
		return nil, nil
	})
	h.admin("GET /_sim/capacity", func(*http.Request) (any, error) {
		return map[string]any{"limits": h.world.Capacities(), "use": h.world.RegionUses()}, nil
	})
	h.admin("POST /_sim/capacity", func(r *http.Request) (any, error) {
		var in sim.Capacity
		if err := decodeStrict(r, &in); err != nil {
			return nil, err
		}
		return nil, h.world.SetCapacity(in)
	})
	h.admin("POST /_sim/hosts", func(r *http.Request) (any, error) {
		var in struct {
			sim.HostSelector
			Status scale.HostStatus `json:"status"`
		}
		if err := decodeStrict(r, &in); err != nil {
			return nil, err
		}
		n, err := h.world.SetHostStatus(in.HostSelector, in.Status)
		return map[string]int{"machines": n}, err
	})
	h.admin("POST /_sim/release", func(r *http.Request) (any, error) {
		var in struct {
			App      string `json:"app"`
			Status   string `json:"status"`
			Version  int    `json:"version"`
			New      bool   `json:"new"`
			ImageRef string `json:"image_ref"`
		}
		if err := decodeStrict(r, &in); err != nil {
			return nil, err
		}
		return h.world.PutRelease(sim.Call{Request: "_sim"}, in.App, sim.ReleaseInput{Version: in.Version, New: in.New, Status: in.Status, ImageRef: in.ImageRef})
	})
	h.admin("GET /_sim/stats", func(*http.Request) (any, error) { return h.Stats(), nil })
	h.admin("POST /_sim/reset", func(*http.Request) (any, error) {
		h.ResetStats()
		h.world.ClearHistory()
		return nil, nil
	})
	h.admin("GET /_sim/history", func(*http.Request) (any, error) {
		entries, dropped := h.world.History()
		if entries == nil {
			entries = []sim.Mutation{}
		}
		return map[string]any{"entries": entries, "dropped": dropped}, nil
	})
	h.admin("GET /_sim/world", func(r *http.Request) (any, error) {
		return map[string]any{"now": h.world.Now(), "seed": h.world.Seed(), "apps": h.world.Summary(r.URL.Query().Get("app"))}, nil
	})
	h.admin("POST /_sim/apps", h.addApps)
}

func (h *Handler) admin(pattern string, fn func(*http.Request) (any, error)) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		h.sync()
		out, err := fn(r)
		if err != nil {
			status := http.StatusBadRequest
			if refusal, ok := errors.AsType[*sim.Error](err); ok {
				status = refusal.Status
			}
			writeJSON(w, status, map[string]string{"error": err.Error()})
			return
		}
		if out == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		writeJSON(w, http.StatusOK, out)
	})
}

// decodeStrict reads a JSON body and refuses keys that it does not know.
func decodeStrict(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("decode body: %w", err)
	}
	return nil
}

// decodeSome reads one JSON object or an array of them.
func decodeSome[T any](r *http.Request) ([]T, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		var many []T
		return many, decodeStrict(r, &many)
	}
	var one T
	if err := decodeStrict(r, &one); err != nil {
		return nil, err
	}
	return []T{one}, nil
}

func (h *Handler) orderFaults(r *http.Request) (any, error) {
	faults, err := decodeSome[sim.Fault](r)
	if err != nil {
		return nil, err
	}
	ordered := []sim.Fault{}
	for i, f := range faults {
		f, err := h.world.OrderFault(f)
		if err != nil {
			return nil, fmt.Errorf("fault %d: %w", i, err)
		}
		ordered = append(ordered, f)
	}
	return ordered, nil
}

// appEntry is an app, or several that are alike.
type appEntry struct {
	sim.AppSpec
	// Count makes that many apps, named with "-1", "-2" and so on at the end. 0
	// makes one with the name as it is.
	Count int `json:"count"`
}

// each calls fn with the spec of every app of the entry.
func (e appEntry) each(fn func(sim.AppSpec) error) error {
	if e.Count == 0 {
		return fn(e.AppSpec)
	}
	for i := range e.Count {
		spec := e.AppSpec
		spec.App = fmt.Sprintf("%s-%d", e.App, i+1)
		if err := fn(spec); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) addApps(r *http.Request) (any, error) {
	entries, err := decodeSome[appEntry](r)
	if err != nil {
		return nil, err
	}
	made := []map[string]any{}
	for _, e := range entries {
		err := e.each(func(spec sim.AppSpec) error {
			ids, err := h.world.AddApp(sim.Call{Request: "_sim"}, spec)
			made = append(made, map[string]any{"app": spec.App, "machines": ids})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return made, nil
}
