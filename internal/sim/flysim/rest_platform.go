package flysim

import (
	"net/http"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func (h *Handler) routePlatform() {
	h.handle("GET /v1/platform/regions", "region_list", listRegions)
	h.handle("POST /v1/platform/placements", "placement", h.placements)
	h.handle("GET /v1/tokens/current", "token_current", h.currentToken)
}

// regionJSON is a region on the wire.
type regionJSON struct {
	Code             string  `json:"code"`
	Name             string  `json:"name"`
	Latitude         float64 `json:"latitude"`
	Longitude        float64 `json:"longitude"`
	GatewayAvailable bool    `json:"gateway_available"`
	RequiresPaidPlan bool    `json:"requires_paid_plan"`
	Deprecated       bool    `json:"deprecated"`
	GeoRegion        string  `json:"geo_region"`
	MPGAvailable     bool    `json:"mpg_available"`
}

func listRegions(*call) (reply, error) {
	out := struct {
		Nearest string       // capitalised on the wire
		Regions []regionJSON // capitalised on the wire
	}{Nearest: sim.Nearest}
	for _, r := range sim.Regions() {
		out.Regions = append(out.Regions, regionJSON{
			Code: r.Code, Name: r.Name, Latitude: r.Latitude, Longitude: r.Longitude, GatewayAvailable: r.Gateway,
			Deprecated: r.Deprecated, GeoRegion: r.Geo, MPGAvailable: r.Postgres,
		})
	}
	return ok(out)
}

func (h *Handler) placements(c *call) (reply, error) {
	var in struct {
		Org    string `json:"org_slug"`
		Region string `json:"region"`
		Count  int    `json:"count"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Org == "" {
		return reply{}, &sim.Error{Status: http.StatusBadRequest, Text: "invalid_argument: org_slug is required"}
	}
	if _, err := h.world.Org(in.Org); err != nil {
		return reply{}, err
	}
	placements, err := h.world.Placements(in.Region, in.Count)
	if err != nil {
		return reply{}, err
	}
	out := struct {
		Regions []placementJSON // capitalised on the wire
	}{[]placementJSON{}}
	for _, p := range placements {
		out.Regions = append(out.Regions, placementJSON(p))
	}
	return ok(out)
}

// placementJSON is a placement on the wire, where its keys are capitalised.
type placementJSON struct {
	Region      string
	Count       int
	Concurrency int
}

func (h *Handler) currentToken(c *call) (reply, error) {
	tokens := []map[string]any{}
	for _, o := range h.world.Orgs() {
		tokens = append(tokens, map[string]any{
			"token_id": c.owner, "user": "user@example.com", "org_slug": o.Slug, "organization": o.Slug, "apps": nil,
		})
	}
	return ok(map[string]any{"tokens": tokens})
}
