package flyapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// orgPageRows is how many rows a page of the org-wide list is asked for, the
// most that the platform documents. It may send fewer, or none, and yet have
// more.
const orgPageRows = 1000

// OrgQuery says which page of an organization's Machines to read.
type OrgQuery struct {
	// UpdatedAfter asks only for Machines that changed since. Zero means all.
	UpdatedAfter time.Time
	// Cursor is the NextCursor of the page before; empty for the first page. The
	// platform takes it before UpdatedAfter.
	Cursor string
	// IncludeDeleted asks for Machines that were destroyed as well.
	IncludeDeleted bool
}

// OrgPage is one page of an organization's Machines.
type OrgPage struct {
	// Machines are in no order, and one may come several times in a listing.
	Machines []OrgMachine
	// NextCursor leads to the next page; empty when this page was the last. A page
	// without Machines is no sign of the end.
	NextCursor string
	// LastUpdatedAt is the latest change that the page tells of; zero when the
	// platform did not say.
	LastUpdatedAt time.Time
	// ErrorRegions did not answer: their Machines are missing from the page.
	ErrorRegions []string
}

// OrgMachine is one row of the org-wide list: an overview of a Machine. Of the
// fields of scale.Machine it has those that the platform tells there: ID, Name,
// State, Region, InstanceID, the two times and, from the configuration's
// overview, Group, Metadata and Image as the configuration spells it. Host,
// Cordoned, Lease, Config and the facts of the configuration are zero. Rows with
// the same configuration share one Metadata.
type OrgMachine struct {
	App scale.App // empty when the platform did not tell
	scale.Machine
	// Bare is set when the row told nothing of the configuration, so that Group,
	// Metadata and Image are not known. Group is then the default group.
	Bare bool
}

// ListOrgMachines returns one page of the Machines of the organization with a
// slug, in all its apps. A page counts as one call of the API.
func (c *Client) ListOrgMachines(ctx context.Context, org string, q OrgQuery) (OrgPage, error) {
	cl := call{
		op: opListOrgMachines, at: c.machines, method: http.MethodGet, effect: read,
		path:  "/v1/orgs/" + url.PathEscape(org) + "/machines",
		query: url.Values{"limit": {strconv.Itoa(orgPageRows)}},
		limit: bucket{op: opListOrgMachines, id: org},
	}
	if !isName(org) {
		return OrgPage{}, c.newError(cl, KindInvalid, fmt.Sprintf("%q is not the slug of an organization", org))
	}
	if !q.UpdatedAfter.IsZero() {
		cl.query.Set("updated_after", q.UpdatedAfter.UTC().Format(time.RFC3339Nano))
	}
	if q.Cursor != "" {
		cl.query.Set("cursor", q.Cursor)
	}
	if q.IncludeDeleted {
		cl.query.Set("include_deleted", "true")
	}
	var page OrgPage
	cl.decode = func(body []byte) (err error) {
		page, err = decodeOrgPage(body)
		return err
	}
	if err := c.do(ctx, cl); err != nil {
		return OrgPage{}, err
	}
	return page, nil
}

type wireOrgPage struct {
	Machines      []wireOrgRow    `json:"machines"`
	NextCursor    text            `json:"next_cursor"`
	LastUpdatedAt stamp           `json:"last_updated_at"`
	ErrorRegions  json.RawMessage `json:"error_regions"`
}

type wireOrgRow struct {
	AppName    text            `json:"app_name"`
	ID         text            `json:"id"`
	Name       text            `json:"name"`
	State      text            `json:"state"`
	Region     text            `json:"region"`
	InstanceID text            `json:"instance_id"` // older name of version
	Version    text            `json:"version"`
	CreatedAt  stamp           `json:"created_at"`
	UpdatedAt  stamp           `json:"updated_at"`
	Config     json.RawMessage `json:"config"`
}

// orgOverview is what rows tell of a configuration.
type orgOverview struct {
	metadata map[string]string
	group    scale.ProcessGroup
	image    string
	bare     bool
}

// decodeOrgPage reads one page. Most rows of an app have the same configuration,
// byte for byte, which is decoded once.
func decodeOrgPage(body []byte) (OrgPage, error) {
	var w wireOrgPage
	if err := json.Unmarshal(body, &w); err != nil {
		return OrgPage{}, fmt.Errorf("decode page of machines: %w", err)
	}
	if w.Machines == nil {
		// A page without rows has an empty list, or null for one. An answer that has
		// none at all must not pass for an organization without Machines.
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(body, &keys); err != nil || keys["machines"] == nil {
			return OrgPage{}, errors.New("decode page of machines: no list of machines in it")
		}
	}
	regions, err := regionsOf(w.ErrorRegions)
	if err != nil {
		return OrgPage{}, err
	}
	page := OrgPage{
		Machines: make([]OrgMachine, 0, len(w.Machines)), NextCursor: string(w.NextCursor),
		LastUpdatedAt: w.LastUpdatedAt.Time, ErrorRegions: regions,
	}
	overviews := make(map[string]orgOverview)
	for i := range w.Machines {
		row := &w.Machines[i]
		if row.ID == "" {
			return OrgPage{}, fmt.Errorf("decode page of machines: row %d: %w", i, errNoMachineID)
		}
		overview, ok := overviews[string(row.Config)]
		if !ok {
			overview = overviewOf(row.Config)
			overviews[string(row.Config)] = overview
		}
		m := OrgMachine{
			App: scale.App(row.AppName),
			Machine: scale.Machine{
				ID: scale.MachineID(row.ID), Name: string(row.Name), State: scale.State(row.State), Region: scale.Region(row.Region),
				InstanceID: string(row.Version), CreatedAt: row.CreatedAt.Time, UpdatedAt: row.UpdatedAt.Time,
				Group: overview.group, Metadata: overview.metadata, Image: overview.image,
			},
			Bare: overview.bare,
		}
		if m.InstanceID == "" {
			m.InstanceID = string(row.InstanceID)
		}
		page.Machines = append(page.Machines, m)
	}
	return page, nil
}

func overviewOf(config json.RawMessage) orgOverview {
	var w struct {
		Metadata json.RawMessage `json:"metadata"`
		Image    text            `json:"image"`
	}
	if !isObject(config) || json.Unmarshal(config, &w) != nil {
		return orgOverview{group: scale.DefaultProcessGroup, bare: true}
	}
	metadata := metadataOf(w.Metadata)
	return orgOverview{metadata: metadata, group: groupOf(metadata), image: string(w.Image)}
}

// regionsOf reads the regions that did not answer. Something there that is no
// list of names must not pass for "none".
func regionsOf(raw json.RawMessage) ([]string, error) {
	if !holdsAny(raw) {
		return nil, nil
	}
	var w []text
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, fmt.Errorf("decode page of machines: regions that did not answer: %w", err)
	}
	regions := make([]string, 0, len(w))
	for _, r := range w {
		regions = append(regions, string(r))
	}
	return regions, nil
}
