package flysim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// maxPage is the most rows that the org-wide list gives at once.
const maxPage = 1000

func (h *Handler) routeOrgs() {
	h.handle("GET /v1/orgs/{org}/machines", "org_machine_list", h.listOrgMachines)
	h.handle("GET /v1/orgs/{org}/volumes", "org_volume_list", h.listOrgVolumes)
}

// cursor is where a listing goes on. It carries the listing's lower bound,
// because a cursor takes precedence over it.
type cursor struct {
	After        uint64    `json:"a"`
	UpdatedAfter time.Time `json:"u,omitzero"`
	Blank        bool      `json:"b,omitempty"` // the page before had no rows on purpose
}

func (c cursor) encode() string {
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err) // numbers and times always encode
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func decodeCursor(text string) (c cursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, &sim.Error{Status: http.StatusBadRequest, Text: "invalid_argument: invalid cursor"}
	}
	return c, nil
}

func (h *Handler) listOrgMachines(c *call) (reply, error) {
	query := c.URL.Query()
	f := sim.OrgFilter{ListFilter: listFilter(query), Limit: h.opts.PageRows}
	var at cursor
	var err error
	switch {
	case query.Get("cursor") != "":
		if at, err = decodeCursor(query.Get("cursor")); err != nil {
			return reply{}, err
		}
	case query.Get("updated_after") != "":
		if at.UpdatedAfter, err = time.Parse(time.RFC3339Nano, query.Get("updated_after")); err != nil {
			return reply{}, &sim.Error{Status: http.StatusBadRequest, Text: "invalid_argument: invalid updated_after"}
		}
	}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return reply{}, &sim.Error{Status: http.StatusBadRequest, Text: "invalid_argument: invalid limit"}
		}
		f.Limit = min(n, h.opts.PageRows)
	}
	f.After, f.UpdatedAfter = at.After, at.UpdatedAfter
	empty := h.lists(c, &f.ListFilter)
	f.Repeat = h.world.Fault(h.query(c), sim.FaultRepeat) != nil
	page, err := h.world.ListOrg(c.org, f)
	if err != nil {
		return reply{}, err
	}
	out := orgPageJSON{Machines: []orgRowJSON{}, ErrorRegions: f.Omit}
	if empty {
		return ok(out)
	}
	// One page without rows before the next, never two in a row, so that a
	// listing always ends.
	if !at.Blank && h.world.Fault(h.query(c), sim.FaultEmptyPage) != nil {
		at.Blank = true
		out.NextCursor = at.encode()
		return ok(out)
	}
	summary := flag(query, "summary")
	for _, row := range page.Rows {
		j := orgRowJSON{
			AppName: row.App, ID: row.ID, Name: row.Name, State: row.State, Region: row.Region, PrivateIP: row.PrivateIP,
			CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, Version: row.InstanceID,
		}
		if !summary {
			j.Config = row.Overview
		}
		out.Machines = append(out.Machines, j)
	}
	out.LastMachineID = page.Last
	if !page.Newest.IsZero() {
		out.LastUpdatedAt = page.Newest.Format(time.RFC3339Nano)
	}
	if page.Next != 0 {
		out.NextCursor = cursor{After: page.Next, UpdatedAfter: at.UpdatedAfter}.encode()
	}
	return ok(out)
}

func (h *Handler) listOrgVolumes(c *call) (reply, error) {
	volumes, err := h.world.OrgVolumes(c.org)
	if err != nil {
		return reply{}, err
	}
	out := struct {
		Volumes []volumeJSON `json:"volumes"`
	}{[]volumeJSON{}}
	for _, v := range volumes {
		j := toVolumeJSON(v)
		j.AppName = v.App
		out.Volumes = append(out.Volumes, j)
	}
	return ok(out)
}
