package sim

import (
	"net/http"
	"slices"
)

// Capacity limits what a region can hold.
type Capacity struct {
	Region string `json:"region" yaml:"region"`
	// Max is the number of Machines; negative lifts the limit. It counts the
	// Machines that exist or, with Starts, those that run or are about to.
	Max int `json:"max" yaml:"max"`
	// Status is how a create is refused: 422 (the default) with the code
	// "insufficient_capacity", or 409 with the text "aborted: insufficient
	// resources …".
	Status int `json:"status,omitempty" yaml:"status"`
	// Starts has starts refused as well once that many Machines run.
	Starts bool `json:"starts,omitempty" yaml:"starts"`
}

// SetCapacity limits a region, or lifts its limit.
func (w *World) SetCapacity(c Capacity) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.regions[c.Region]
	if !ok {
		return refuse(http.StatusNotFound, "region %q not found", c.Region)
	}
	switch c.Status {
	case 0:
		c.Status = http.StatusUnprocessableEntity
	case http.StatusUnprocessableEntity, http.StatusConflict:
	default:
		return invalid("capacity status %d: want 422 or 409", c.Status)
	}
	r.capacity = &c
	if c.Max < 0 {
		r.capacity = nil
	}
	return nil
}

// Capacities returns the limits that are set, by region.
func (w *World) Capacities() []Capacity {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []Capacity{}
	for _, r := range Regions() {
		if c := w.regions[r.Code].capacity; c != nil {
			out = append(out, *c)
		}
	}
	return out
}

// free returns how many more Machines the region takes; false means without
// limit.
func (r *region) free() (int, bool) {
	if r.capacity == nil {
		return 0, false
	}
	used := r.machines
	if r.capacity.Starts {
		used = r.running
	}
	return max(r.capacity.Max-used, 0), true
}

// placeMachine picks the region for a new Machine: the first of the expression
// that has room and, when the Machine mounts volumes, has those.
func (w *World) placeMachine(a *app, expr string, cfg *machineConfig, skipLaunch bool) (string, error) {
	for _, mount := range cfg.facts.Mounts {
		if mount.Volume == "" {
			continue
		}
		v := w.volumes[mount.Volume]
		if v == nil || v.app != a {
			return "", refuse(http.StatusNotFound, "not_found: volume %s not found", mount.Volume)
		}
		if v.AttachedMachine != "" {
			return "", precondition("volume already claimed by machine %s", v.AttachedMachine)
		}
		if expr == "" {
			expr = v.Region
		}
	}
	codes, err := w.expandRegions(expr)
	if err != nil {
		return "", err
	}
	status := http.StatusUnprocessableEntity
	for _, code := range codes {
		if !w.mountable(code, cfg) {
			continue
		}
		r := w.regions[code]
		if f := w.matchFault(Query{Op: "machine_create", App: a.name, Org: a.org.slug, Region: code}, FaultCapacity); f != nil {
			status = f.Status
			continue
		}
		free, limited := r.free()
		// Where only what runs counts, what is not launched needs no room.
		if limited && free == 0 && (!skipLaunch || !r.capacity.Starts) {
			status = r.capacity.Status
			continue
		}
		return code, nil
	}
	if status == http.StatusConflict {
		return "", refuse(status, "aborted: insufficient resources available to fulfill request: could not reserve resource for machine: insufficient memory available to fulfill request")
	}
	e := refuse(http.StatusUnprocessableEntity, "insufficient resources to create new machine in region %s", codes[0])
	e.Code = "insufficient_capacity"
	return "", e
}

// mountable reports whether all volumes of the configuration are in the region.
func (w *World) mountable(code string, cfg *machineConfig) bool {
	for _, mount := range cfg.facts.Mounts {
		if mount.Volume != "" && w.volumes[mount.Volume].Region != code {
			return false
		}
	}
	return true
}

// reserveStart refuses the start of a Machine that its host has no room for.
func (w *World) reserveStart(m *machine) error {
	r := w.regions[m.region]
	full := r.capacity != nil && r.capacity.Starts && r.running >= r.capacity.Max
	if !full && w.matchFault(Query{Op: "machine_start", App: m.app.name, Org: m.app.org.slug, Region: m.region, Machine: m.id}, FaultCapacity) == nil {
		return nil
	}
	return refuse(http.StatusConflict,
		"aborted: could not reserve resource for machine: insufficient memory available to fulfill request on the current host")
}

// Placement is how many Machines a region would take.
type Placement struct {
	Region      string `json:"region"`
	Count       int    `json:"count"`
	Concurrency int    `json:"concurrency"`
}

// placementLimit is what an org may place in one region when it asks for as
// many as possible.
const placementLimit = 50

// Placements tells which regions of an expression have room for count more
// Machines, as many as fit in each. Regions without room are left out.
func (w *World) Placements(expr string, count int) ([]Placement, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if expr == "" {
		expr = Nearest + ",any"
	}
	codes, err := w.expandRegions(expr)
	if err != nil {
		return nil, err
	}
	wanted := count
	out := []Placement{}
	for _, code := range codes {
		room := placementLimit
		if free, limited := w.regions[code].free(); limited {
			room = min(room, free)
		}
		if count > 0 {
			room = min(room, wanted)
		}
		if room == 0 {
			continue
		}
		out = append(out, Placement{Region: code, Count: room, Concurrency: min(room, hostsPerRegion)})
		if count > 0 {
			if wanted -= room; wanted == 0 {
				break
			}
		}
	}
	return out, nil
}

// RegionUse is how a region is used.
type RegionUse struct {
	Region   string `json:"region"`
	Machines int    `json:"machines"`
	Running  int    `json:"running"`
}

// RegionUses returns the regions that hold Machines, by code.
func (w *World) RegionUses() []RegionUse {
	w.mu.Lock()
	defer w.mu.Unlock()
	uses := []RegionUse{}
	for _, r := range w.regions {
		if r.machines > 0 {
			uses = append(uses, RegionUse{r.Code, r.machines, r.running})
		}
	}
	slices.SortFunc(uses, func(a, b RegionUse) int {
		if a.Region < b.Region {
			return -1
		}
		return 1
	})
	return uses
}
