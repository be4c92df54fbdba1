package sim

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// ListFilter says which Machines of an app to list.
type ListFilter struct {
	IncludeDeleted bool
	Region         string            // empty for all
	States         []scale.State     // nil for all
	Metadata       map[string]string // all must match
	// Lag has the list show what was that long ago.
	Lag time.Duration
	// Omit are regions left out, as when their part of the platform does not
	// answer.
	Omit []string
	// Short leaves out Machines by chance, every second one on average.
	Short bool
}

// ListMachines returns the Machines of an app in order of creation.
func (w *World) ListMachines(appName string, f ListFilter) ([]Machine, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[appName]
	if !ok {
		return nil, appNotFound()
	}
	out := make([]Machine, 0, len(a.machines))
	add := func(m *machine) {
		rev, ok := m.asOf(w.now.Add(-f.Lag))
		if !ok || !f.wants(m, rev) || w.slips(f) {
			return
		}
		v := w.view(m)
		if f.Lag > 0 {
			v.State, v.InstanceID, v.UpdatedAt = rev.state, rev.instanceID, rev.updatedAt
			v.Config, v.Overview, v.Image = rev.cfg.raw, rev.cfg.overview, rev.cfg.image
		}
		out = append(out, v)
	}
	if f.IncludeDeleted || f.Lag > 0 {
		for _, m := range a.deleted {
			add(m)
		}
	}
	for _, m := range a.machines {
		add(m)
	}
	return out, nil
}

// slips reports whether a list that is short leaves out the next Machine.
func (w *World) slips(f ListFilter) bool { return f.Short && w.luck.IntN(2) == 0 }

func (f ListFilter) wants(m *machine, rev revision) bool {
	if rev.state == scale.StateDestroyed && !f.IncludeDeleted {
		return false
	}
	if (f.Region != "" && f.Region != m.region) || slices.Contains(f.Omit, m.region) {
		return false
	}
	if f.States != nil && !slices.Contains(f.States, rev.state) {
		return false
	}
	for key, value := range f.Metadata {
		if got, ok := rev.cfg.facts.Metadata[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// asOf returns the revision that was current at that moment; false when the
// Machine did not exist yet.
func (m *machine) asOf(at time.Time) (revision, bool) {
	if n := len(m.past); !m.past[n-1].at.After(at) {
		return m.past[n-1], true
	}
	for _, rev := range slices.Backward(m.past) {
		if !rev.at.After(at) {
			return rev, true
		}
	}
	if m.createdAt.After(at) {
		return revision{}, false
	}
	return m.past[0], true
}

// OrgFilter says which Machines of an org to list, and which page of them.
type OrgFilter struct {
	ListFilter
	UpdatedAfter time.Time // zero for all
	// After is the position of the page before; 0 for the first page.
	After uint64
	// Limit is the number of rows of the page; at least 1.
	Limit int
	// Repeat has the rows of Machines that changed come again, as they were before.
	Repeat bool
}

// OrgPage is one page of an org's Machines.
type OrgPage struct {
	Rows []OrgRow
	// Next is the position after which the next page starts; 0 when this page
	// was the last.
	Next uint64
	// Newest is the latest change among the rows; zero without rows.
	Newest time.Time
	Last   string // identifier of the page's last Machine
}

// OrgRow is the overview of a Machine that an org-wide list gives.
type OrgRow struct {
	App        string
	ID         string
	Name       string
	State      scale.State
	Region     string
	PrivateIP  string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	InstanceID string
	Overview   json.RawMessage // guest, image and metadata of the configuration, shared
}

// ListOrg returns a page of the Machines of an org. The rows of a page come in
// no order: the platform promises none.
func (w *World) ListOrg(slug string, f OrgFilter) (OrgPage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, err := w.org(slug)
	if err != nil {
		return OrgPage{}, err
	}
	start, found := slices.BinarySearchFunc(o.rows, f.After, func(m *machine, seq uint64) int { return cmp.Compare(m.seq, seq) })
	if found {
		start++
	}
	page := OrgPage{Rows: make([]OrgRow, 0, min(max(f.Limit, 1), len(o.rows)-start))}
	at := w.now.Add(-f.Lag)
	var again []OrgRow
	for _, m := range o.rows[start:] {
		if !m.updatedAt.After(f.UpdatedAfter) {
			continue // nor was any earlier revision of it
		}
		rev, ok := m.asOf(at)
		if !ok || !rev.updatedAt.After(f.UpdatedAfter) || !f.wants(m, rev) || w.slips(f.ListFilter) {
			continue
		}
		if len(page.Rows) >= max(f.Limit, 1) {
			page.Next = f.After
			break
		}
		f.After = m.seq
		page.Last = m.id
		if rev.updatedAt.After(page.Newest) {
			page.Newest = rev.updatedAt
		}
		page.Rows = append(page.Rows, m.row(rev))
		if before, ok := m.asOf(rev.at.Add(-1)); ok && f.Repeat {
			again = append(again, m.row(before))
		}
	}
	page.Rows = append(page.Rows, again...)
	if n := len(page.Rows); n > 1 {
		// Shuffled by what the page is, so that the same call gives the same
		// answer and a client that relies on an order is found out.
		rng := rand.New(rand.NewPCG(w.seed, f.After))
		rng.Shuffle(n, func(i, j int) { page.Rows[i], page.Rows[j] = page.Rows[j], page.Rows[i] })
	}
	return page, nil
}

// row returns the overview of the Machine as it was.
func (m *machine) row(rev revision) OrgRow {
	return OrgRow{
		App: m.app.name, ID: m.id, Name: m.name, State: rev.state, Region: m.region, PrivateIP: m.privateIP,
		CreatedAt: m.createdAt, UpdatedAt: rev.updatedAt, InstanceID: rev.instanceID,
		Overview: rev.cfg.overview,
	}
}

// AppSummary is an app with its Machines in a few words.
type AppSummary struct {
	Org      string           `json:"org"`
	App      string           `json:"app"`
	Status   string           `json:"status"`
	Release  *Release         `json:"release,omitempty"`
	Machines []MachineSummary `json:"machines"`
}

// MachineSummary is a Machine in a few words.
type MachineSummary struct {
	ID         string           `json:"id"`
	Name       string           `json:"name"`
	State      scale.State      `json:"state"`
	Region     string           `json:"region"`
	Group      string           `json:"group"`
	Host       string           `json:"host"`
	HostStatus scale.HostStatus `json:"host_status"`
	Cordoned   bool             `json:"cordoned,omitempty"`
	LeasedBy   string           `json:"leased_by,omitempty"`
}

// Summary returns all apps, or the one named, with their Machines, destroyed
// ones left out: the truth, as no list shows it.
func (w *World) Summary(appName string) []AppSummary {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []AppSummary{}
	w.eachApp(func(a *app) {
		if appName != "" && appName != a.name {
			return
		}
		s := AppSummary{Org: a.org.slug, App: a.name, Status: a.status, Release: a.view().Release, Machines: []MachineSummary{}}
		for _, m := range a.machines {
			if gone(m) {
				continue
			}
			row := MachineSummary{ID: m.id, Name: m.name, State: m.state, Region: m.region, Group: m.group(), Host: m.host, HostStatus: m.hostStatus, Cordoned: m.cordoned}
			if l := w.held(m); l != nil {
				row.LeasedBy = l.owner
			}
			s.Machines = append(s.Machines, row)
		}
		out = append(out, s)
	})
	return out
}
