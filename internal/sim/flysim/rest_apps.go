package flysim

import (
	"net/http"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func (h *Handler) routeApps() {
	h.handle("GET /v1/apps", "app_list", h.listApps)
	h.handle("POST /v1/apps", "app_create", h.createApp)
	h.handle("GET /v1/apps/{app}", "app_get", func(c *call) (reply, error) {
		a, err := h.world.App(c.app)
		if err != nil {
			return reply{}, err
		}
		return ok(toAppJSON(a))
	})
	h.handle("DELETE /v1/apps/{app}", "app_delete", func(c *call) (reply, error) {
		return reply{status: http.StatusAccepted}, h.world.DeleteApp(c.by(), c.app)
	})
	h.handle("GET /v1/apps/{app}/ip_assignments", "ip_list", h.emptyList("ips"))
	h.handle("GET /v1/apps/{app}/secrets", "secret_list", h.emptyList("secrets"))
}

func (h *Handler) listApps(c *call) (reply, error) {
	query := c.URL.Query()
	slug := query.Get("org_slug")
	if slug == "" {
		return reply{}, &sim.Error{Status: http.StatusBadRequest, Text: "invalid_argument: org_slug is required"}
	}
	apps, _, err := h.world.Apps(slug, query.Get("app_role"), "", 0)
	if err != nil {
		return reply{}, err
	}
	out := struct {
		TotalApps int       `json:"total_apps"`
		Apps      []appJSON `json:"apps"`
	}{len(apps), make([]appJSON, 0, len(apps))}
	for _, a := range apps {
		out.Apps = append(out.Apps, toAppJSON(a))
	}
	return ok(out)
}

func (h *Handler) createApp(c *call) (reply, error) {
	var in struct {
		Name    string `json:"name"`
		AppName string `json:"app_name"`
		Org     string `json:"org_slug"`
		Network string `json:"network"`
		Role    string `json:"app_role_id"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if in.Name == "" {
		in.Name = in.AppName
	}
	a, err := h.world.CreateApp(c.by(), sim.AppInput{Name: in.Name, Org: in.Org, Network: in.Network, Role: in.Role})
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, struct {
		appJSON
		CreatedAt int64 `json:"created_at"`
	}{toAppJSON(a), a.CreatedAt.UnixMilli()}}, nil
}

// emptyList answers for what apps of this platform never have.
func (h *Handler) emptyList(name string) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		if _, err := h.world.App(c.app); err != nil {
			return reply{}, err
		}
		return ok(map[string]any{name: []any{}})
	}
}
