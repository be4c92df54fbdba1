package flysim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// routeUIEX serves the third surface, which newer command line tools ask for
// orgs and releases.
func (h *Handler) routeUIEX() {
	h.handle("GET /api/v1/organizations", "uiex_org_list", func(*call) (reply, error) {
		orgs := []uiexOrg{}
		for _, o := range h.world.Orgs() {
			orgs = append(orgs, toUIEXOrg(o))
		}
		return ok(map[string]any{"organizations": orgs})
	})
	h.handle("GET /api/v1/organizations/{org}", "uiex_org_get", func(c *call) (reply, error) {
		o, err := h.world.Org(c.org)
		if err != nil {
			return reply{}, err
		}
		return ok(map[string]any{"organization": toUIEXOrg(o)})
	})
	h.handle("GET /api/v1/apps/{app}/releases", "uiex_release_list", h.uiexReleases)
	h.handle("GET /api/v1/apps/{app}/releases/current", "uiex_release_current", h.uiexCurrentRelease)
	h.handle("GET /api/v1/releases/all_current", "uiex_release_all", h.uiexAllCurrent)
	h.handle("POST /api/v1/releases", "uiex_release_create", h.uiexCreateRelease)
	h.handle("PATCH /api/v1/releases/{release}", "uiex_release_update", h.uiexUpdateRelease)
}

type uiexOrg struct {
	ID                string `json:"id"`
	InternalNumericID string `json:"internal_numeric_id"`
	Slug              string `json:"slug"`
	RawSlug           string `json:"raw_slug"`
	Name              string `json:"name"`
	PaidPlan          bool   `json:"paid_plan"`
	Personal          bool   `json:"personal"`
	BillingStatus     string `json:"billing_status"`
}

func toUIEXOrg(o sim.Org) uiexOrg {
	slug := o.Slug
	if o.Personal {
		slug = "personal"
	}
	return uiexOrg{orgID(o), strconv.Itoa(o.NumericID), slug, o.Slug, o.Name, true, o.Personal, "CURRENT"}
}

type uiexRelease struct {
	ID         string    `json:"id"`
	Version    int       `json:"version"`
	Stable     bool      `json:"stable"`
	InProgress bool      `json:"in_progress"`
	Status     string    `json:"status"`
	Strategy   string    `json:"strategy"`
	User       uiexUser  `json:"user"`
	CreatedAt  time.Time `json:"created_at"`
	ImageRef   string    `json:"image_ref"`
}

type uiexUser struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
}

func toUIEXRelease(r sim.Release) uiexRelease {
	return uiexRelease{r.ID, r.Version, r.Stable, r.Status == "running", r.Status, r.Strategy, uiexUser{"simuser", r.User, "Sim User"}, r.CreatedAt, r.ImageRef}
}

func (h *Handler) uiexReleases(c *call) (reply, error) {
	limit, err := strconv.Atoi(c.URL.Query().Get("limit"))
	if err != nil {
		limit = 25
	}
	releases, err := h.world.Releases(c.app, "", limit)
	if err != nil {
		return reply{}, err
	}
	out := []uiexRelease{}
	for _, r := range releases {
		out = append(out, toUIEXRelease(r))
	}
	return ok(map[string]any{"releases": out})
}

func (h *Handler) uiexCurrentRelease(c *call) (reply, error) {
	a, err := h.world.App(c.app)
	if err != nil {
		return reply{}, err
	}
	if a.Release == nil {
		return reply{}, &sim.Error{Status: http.StatusNotFound, Text: "release not found"}
	}
	return ok(toUIEXRelease(*a.Release))
}

func (h *Handler) uiexAllCurrent(*call) (reply, error) {
	apps, _, err := h.world.Apps("", "", "", 0)
	if err != nil {
		return reply{}, err
	}
	out := make(map[string]time.Time)
	for _, a := range apps {
		if a.Release != nil {
			out[a.Name] = a.Release.CreatedAt
		}
	}
	return ok(out)
}

func (h *Handler) uiexCreateRelease(c *call) (reply, error) {
	var in struct {
		App        string          `json:"app_name"`
		Definition json.RawMessage `json:"definition"`
		Image      string          `json:"image"`
		Strategy   string          `json:"strategy"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	r, err := h.world.PutRelease(c.by(), in.App, sim.ReleaseInput{New: true, Status: "running", ImageRef: in.Image, Strategy: in.Strategy})
	if err == nil && len(in.Definition) > 0 {
		err = h.world.SetAppDefinition(in.App, in.Definition)
	}
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, map[string]any{"release": toUIEXRelease(r)}}, nil
}

func (h *Handler) uiexUpdateRelease(c *call) (reply, error) {
	var in struct {
		Status string `json:"status"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	r, err := h.world.SetReleaseStatus(c.by(), c.PathValue("release"), in.Status)
	if err != nil {
		return reply{}, err
	}
	return ok(map[string]any{"release": toUIEXRelease(r)})
}
