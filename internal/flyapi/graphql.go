package flyapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// The queries have the shape of those the official clients send, which is the
// part of this undocumented API that will not change under us.
const (
	queryOrganization = `query($slug: String!) { organization(slug: $slug) { id } }`

	queryApps = `query($org: ID, $after: String) {` +
		` apps(type: "container", first: 200, after: $after, organizationId: $org) {` +
		` pageInfo { hasNextPage endCursor }` +
		` nodes { id name status postgresAppRole: role { name } } } }`

	queryRelease = `query($appName: String!) { app(name: $appName) {` +
		` currentRelease: currentReleaseUnprocessed { id version status createdAt } } }`
)

// maxPages bounds a listing of apps at 200,000, far above any organization.
const maxPages = 1000

// AppInfo is one app of an organization.
type AppInfo struct {
	Name   scale.App
	Status string // "deployed", "suspended", "pending"
	// Role is what the platform uses the app for, such as "postgres_cluster" or
	// "remote-docker-builder"; empty for ordinary apps.
	Role string
}

// OrganizationID returns the identifier of the organization with a slug.
func (c *Client) OrganizationID(ctx context.Context, slug string) (string, error) {
	var data struct {
		Organization *struct {
			ID text `json:"id"`
		} `json:"organization"`
	}
	err := c.query(ctx, opOrganization, "", queryOrganization, map[string]any{"slug": slug}, &data, func() error {
		if data.Organization == nil || data.Organization.ID == "" {
			return &refusal{kind: KindNotFound, message: fmt.Sprintf("no organization %q that the token may see", slug)}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return string(data.Organization.ID), nil
}

// Apps returns the apps of an organization, sorted by name. On an error it
// returns none: part of the list could be taken for all of it.
func (c *Client) Apps(ctx context.Context, orgID string) ([]AppInfo, error) {
	type page struct {
		Apps *struct {
			PageInfo struct {
				HasNextPage flag `json:"hasNextPage"`
				EndCursor   text `json:"endCursor"`
			} `json:"pageInfo"`
			Nodes []*struct {
				Name   text `json:"name"`
				Status text `json:"status"`
				Role   *struct {
					Name text `json:"name"`
				} `json:"postgresAppRole"`
			} `json:"nodes"`
		} `json:"apps"`
	}
	byName := map[scale.App]AppInfo{}
	cursors := map[text]bool{}
	variables := map[string]any{"org": orgID}
	for range maxPages {
		var data page
		err := c.query(ctx, opApps, "", queryApps, variables, &data, func() error {
			switch {
			case data.Apps == nil:
				return errors.New("no apps in it")
			case bool(data.Apps.PageInfo.HasNextPage) && (data.Apps.PageInfo.EndCursor == "" || cursors[data.Apps.PageInfo.EndCursor]):
				return errors.New("more pages, but no way to the next")
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, node := range data.Apps.Nodes {
			if node == nil || node.Name == "" {
				continue
			}
			app := AppInfo{Name: scale.App(node.Name), Status: strings.ToLower(string(node.Status))}
			if node.Role != nil {
				app.Role = string(node.Role.Name)
			}
			// An app may come twice when another is created between two pages.
			byName[app.Name] = app
		}
		if !data.Apps.PageInfo.HasNextPage {
			apps := make([]AppInfo, 0, len(byName))
			for _, app := range byName {
				apps = append(apps, app)
			}
			slices.SortFunc(apps, func(a, b AppInfo) int { return strings.Compare(string(a.Name), string(b.Name)) })
			return apps, nil
		}
		cursor := data.Apps.PageInfo.EndCursor
		cursors[cursor] = true
		variables["after"] = string(cursor)
	}
	return nil, c.newError(c.graphqlCall(opApps, ""), KindProtocol, fmt.Sprintf("more than %d pages", maxPages))
}

// CurrentRelease returns the newest release of an app, finished or not.
func (c *Client) CurrentRelease(ctx context.Context, app scale.App) (scale.Release, error) {
	var data struct {
		App *struct {
			Release *wireRelease `json:"currentRelease"`
		} `json:"app"`
	}
	var release scale.Release
	err := c.query(ctx, opRelease, app, queryRelease, map[string]any{"appName": string(app)}, &data, func() (err error) {
		if data.App == nil {
			return errNoSuchApp
		}
		release, err = data.App.Release.release()
		return err
	})
	if err != nil {
		return scale.Release{}, err
	}
	return release, nil
}

var errNoSuchApp = &refusal{kind: KindNotFound, message: "no such app that the token may see"}

type wireRelease struct {
	Version   text  `json:"version"`
	Status    text  `json:"status"`
	CreatedAt stamp `json:"createdAt"`
}

// release reads a release; none when w is nil, as for an app that never had one.
func (w *wireRelease) release() (scale.Release, error) {
	if w == nil {
		return scale.Release{Known: true}, nil
	}
	version, err := strconv.Atoi(string(w.Version))
	if err != nil {
		return scale.Release{}, fmt.Errorf("release version: %w", err)
	}
	return scale.Release{
		Known: true, Exists: true, Version: version,
		// Lower case, because enumerations of GraphQL may come in capitals.
		Status: strings.ToLower(string(w.Status)), CreatedAt: w.CreatedAt.Time,
	}, nil
}

func (c *Client) graphqlCall(op string, app scale.App) call {
	return call{
		op: op, app: app, at: c.graphql, method: http.MethodPost, path: "/graphql",
		effect: read, limit: bucket{op: opGraphQL},
	}
}

type graphqlBody struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables"`
}

// query sends one GraphQL query, decodes its data into out and has check look
// at it.
func (c *Client) query(ctx context.Context, op string, app scale.App, query string, variables map[string]any, out any, check func() error) error {
	cl := c.graphqlCall(op, app)
	body, err := marshal(graphqlBody{query, variables})
	if err != nil {
		return c.newError(cl, KindInvalid, "encode the query: "+err.Error())
	}
	cl.body = body
	cl.decode = func(body []byte) error {
		var answer struct {
			Data   json.RawMessage `json:"data"`
			Errors []graphqlError  `json:"errors"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return fmt.Errorf("decode GraphQL answer: %w", err)
		}
		if len(answer.Errors) > 0 {
			return answer.Errors[0].refusal(len(answer.Errors))
		}
		if !isObject(answer.Data) {
			return errors.New("decode GraphQL answer: no data")
		}
		if err := json.Unmarshal(answer.Data, out); err != nil {
			return fmt.Errorf("decode GraphQL data: %w", err)
		}
		return check()
	}
	return c.do(ctx, cl)
}

// graphqlError is one of the errors that come with HTTP status 200.
type graphqlError struct {
	Message    text            `json:"message"`
	Path       json.RawMessage `json:"path"`
	Extensions json.RawMessage `json:"extensions"`
}

// refusal classes the first of count errors. There is no list of codes, so
// what the official clients look for in the text counts as well.
func (g graphqlError) refusal(count int) *refusal {
	var extensions struct {
		Code text `json:"code"`
	}
	if isObject(g.Extensions) {
		_ = json.Unmarshal(g.Extensions, &extensions) // odd extensions just have no code
	}
	r := &refusal{kind: KindInvalid, code: string(extensions.Code), message: string(g.Message)}
	if count > 1 {
		r.message += fmt.Sprintf(" (and %d more)", count-1)
	}
	code, lower := strings.ToUpper(r.code), strings.ToLower(r.message)
	switch {
	case code == "NOT_FOUND", strings.Contains(lower, "could not find"):
		r.kind = KindNotFound
	case code == "UNAUTHORIZED", code == "UNAUTHENTICATED", code == "FORBIDDEN",
		strings.Contains(lower, "not authorized"), strings.Contains(lower, "unauthorized"), strings.Contains(lower, "authenticate"):
		r.kind = KindUnauthorized
	case strings.Contains(code, "RATE_LIMIT"), code == "THROTTLED", strings.Contains(lower, "rate limit"):
		r.kind = KindRateLimited
	case strings.Contains(code, "SERVER_ERROR"), strings.Contains(code, "INTERNAL"), strings.Contains(code, "TIMEOUT"):
		r.kind = KindUnavailable
	}
	return r
}
