package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/fly-autoscaler/fly-autoscaler/internal/actuate"
	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/fleet"
	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// platform holds one connection to the platform for each API token, shared by
// all targets that use it.
type platform struct {
	settings  *config.Settings
	logger    *slog.Logger
	version   string
	transport http.RoundTripper
	metrics   *metrics

	mu          sync.Mutex
	connections map[scale.Secret]*connection // guarded by mu
}

// connection is what one token gives access to.
type connection struct {
	api      *flyapi.Client
	fleet    *fleet.Lister
	actuator *actuate.Actuator

	mu   sync.Mutex
	orgs map[string]string // guarded by mu; organization ids by slug, which never change
}

func newPlatform(settings *config.Settings, options Options, m *metrics) *platform {
	return &platform{
		settings: settings, logger: options.Logger, version: options.Version, transport: options.Transport, metrics: m,
		connections: make(map[scale.Secret]*connection),
	}
}

// connect returns the connection for the token.
func (p *platform) connect(token scale.Secret) (*connection, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.connections[token]; ok {
		return c, nil
	}
	api, err := flyapi.New(flyapi.Config{
		MachinesURL: p.settings.MachinesURL,
		GraphQLURL:  p.settings.GraphQLURL,
		Token:       token,
		Transport:   p.transport,
		UserAgent:   "fly-autoscaler/" + cmp.Or(p.version, "dev"),
		Observe:     p.metrics.request,
	})
	if err != nil {
		return nil, err
	}
	c := &connection{api: api, fleet: fleet.NewLister(api), actuator: actuate.New(api, p.logger), orgs: make(map[string]string)}
	p.connections[token] = c
	return c, nil
}

func (p *platform) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.connections {
		c.api.Close()
	}
}

// forget drops what is remembered of an app that is no longer governed.
func (p *platform) forget(app scale.App) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.connections {
		c.fleet.Forget(app)
	}
}

// apps lists the names of the organization's apps that a pattern may match, sorted.
func (c *connection) apps(ctx context.Context, org string) ([]scale.App, error) {
	id, err := c.organization(ctx, org)
	if err != nil {
		return nil, err
	}
	infos, err := c.api.Apps(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("list the apps of organization %q: %w", org, err)
	}
	apps := make([]scale.App, 0, len(infos))
	for _, info := range infos {
		if !special(info.Role) && !platformTool(info.Name) {
			apps = append(apps, info.Name)
		}
	}
	slices.Sort(apps)
	return apps, nil
}

func (c *connection) organization(ctx context.Context, org string) (string, error) {
	c.mu.Lock()
	id, ok := c.orgs[org]
	c.mu.Unlock()
	if ok {
		return id, nil
	}
	id, err := c.api.OrganizationID(ctx, org)
	if err != nil {
		return "", fmt.Errorf("look up organization %q: %w", org, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orgs[org] = id
	return id, nil
}

// special reports whether an app with the role has an owner that looks after its
// Machines, such as a database cluster. The platform's schema knows a role of apps
// that have none.
func special(role string) bool { return role != "" && !strings.EqualFold(role, "empty") }

// platformTool reports whether the app is one that the platform's own tools make
// for themselves: builders, deployers and interactive shells.
func platformTool(name scale.App) bool {
	for _, prefix := range []string{"fly-builder-", "fly-deployer-", "flyctl-interactive-shells-"} {
		if strings.HasPrefix(string(name), prefix) {
			return true
		}
	}
	return false
}
