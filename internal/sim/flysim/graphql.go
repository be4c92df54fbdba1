package flysim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// opGraphQL is the operation of all GraphQL calls.
const opGraphQL = "graphql"

// graphQLRequest is the body of a GraphQL call.
type graphQLRequest struct {
	Query         string         `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
}

func (h *Handler) routeGraphQL() {
	h.handle("POST /graphql", opGraphQL, func(c *call) (reply, error) {
		var in graphQLRequest
		if err := c.decode(&in); err != nil {
			return reply{}, err
		}
		return ok(executeGraphQL(in, &graphQLRoot{h, c, in.Variables}))
	})
}

// graphQLApp returns the app that a GraphQL call is about, as its variables
// tell, for the matching of faults.
func graphQLApp(body []byte) string {
	var in struct {
		Variables struct {
			AppName string `json:"appName"`
			Name    string `json:"name"`
		} `json:"variables"`
	}
	if json.Unmarshal(body, &in) != nil {
		return ""
	}
	if in.Variables.AppName != "" {
		return in.Variables.AppName
	}
	return in.Variables.Name
}

// graphQLRoot resolves the fields at the top of queries and mutations.
type graphQLRoot struct {
	h    *Handler
	c    *call
	vars map[string]any
}

func (r *graphQLRoot) query(field string, args map[string]any) (any, error) {
	world := r.h.world
	switch field {
	case "organization":
		o, err := r.h.findOrg(text(args["slug"]), text(args["id"]))
		if err != nil {
			return nil, err
		}
		return orgObject(o), nil
	case "organizations":
		nodes := []object{}
		for _, o := range world.Orgs() {
			nodes = append(nodes, orgObject(o))
		}
		return nodeList(nodes), nil
	case "apps":
		return r.apps(args)
	case "app":
		name := text(args["name"])
		if name == "" {
			name = text(args["id"])
		}
		a, err := world.App(name)
		if err != nil {
			return nil, &graphQLError{message: fmt.Sprintf("Could not find App %q", name), code: "NOT_FOUND"}
		}
		return r.appObject(a), nil
	case "machine":
		return r.machine(text(args["machineId"]))
	case "latestImageDetails", "latestImageTag":
		return nil, &graphQLError{message: "Unknown repository", code: "UNPROCESSABLE"}
	case "platform":
		return fields{"requestRegion": sim.Nearest, "regions": regionObjects(nil)}.get, nil
	case "nearestRegion":
		return regionObjects(func(reg sim.Region) bool { return reg.Code == sim.Nearest })[0], nil
	case "viewer", "currentUser":
		return userObject("user@example.com"), nil
	}
	return nil, unknownField(field, "Query")
}

func (r *graphQLRoot) mutation(field string, args map[string]any) (any, error) {
	input, _ := args["input"].(map[string]any)
	switch field {
	case "createRelease":
		version := sim.ReleaseInput{New: true, Status: "running", ImageRef: text(input["image"]), Strategy: text(input["strategy"])}
		rel, err := r.h.world.PutRelease(r.c.by(), text(input["appId"]), version)
		if err != nil {
			return nil, &graphQLError{message: fmt.Sprintf("Could not find App %q", text(input["appId"])), code: "NOT_FOUND"}
		}
		return fields{"release": releaseObject(rel)}.get, nil
	case "updateRelease":
		rel, err := r.h.world.SetReleaseStatus(r.c.by(), text(input["releaseId"]), text(input["status"]))
		if err != nil {
			return nil, &graphQLError{message: "Could not find Release", code: "NOT_FOUND"}
		}
		return fields{"release": releaseObject(rel)}.get, nil
	}
	return nil, unknownField(field, "Mutation")
}

// orgID returns the identifier that GraphQL knows an org by.
func orgID(o sim.Org) string { return "simorg" + strconv.Itoa(o.NumericID) }

func (h *Handler) findOrg(slug, id string) (sim.Org, error) {
	if slug != "" {
		o, err := h.world.Org(slug)
		if err == nil {
			return o, nil
		}
	}
	for _, o := range h.world.Orgs() {
		if id != "" && orgID(o) == id {
			return o, nil
		}
	}
	return sim.Org{}, &graphQLError{message: "Could not find Organization", code: "NOT_FOUND"}
}

func orgObject(o sim.Org) object {
	slug, kind := o.Slug, "SHARED"
	if o.Personal {
		slug, kind = "personal", "PERSONAL"
	}
	return fields{
		"id": orgID(o), "internalNumericId": strconv.Itoa(o.NumericID), "slug": slug, "rawSlug": o.Slug, "name": o.Name,
		"type": kind, "paidPlan": true, "billable": true, "viewerRole": "admin",
	}.get
}

// maxApps is the most apps that one page holds.
const maxApps = 200

func (r *graphQLRoot) apps(args map[string]any) (any, error) {
	slug := ""
	if id := text(args["organizationId"]); id != "" {
		o, err := r.h.findOrg("", id)
		if err != nil {
			return nil, err
		}
		slug = o.Slug
	}
	after, err := base64.RawURLEncoding.DecodeString(text(args["after"]))
	if err != nil {
		return nil, &graphQLError{message: "Invalid cursor", code: "INVALID"}
	}
	limit := maxApps
	if n := number(args["first"]); n > 0 {
		limit = min(n, maxApps)
	}
	if r.h.world.Fault(sim.Query{Op: opGraphQL, Org: slug}, sim.FaultEmpty) != nil {
		return fields{"nodes": []object{}, "totalCount": 0, "pageInfo": fields{"hasNextPage": false}.get}.get, nil
	}
	page, more, err := r.h.world.Apps(slug, text(args["role"]), string(after), limit)
	if err != nil {
		return nil, err
	}
	nodes, end := []object{}, ""
	for _, a := range page {
		nodes = append(nodes, r.appObject(a))
		end = base64.RawURLEncoding.EncodeToString([]byte(a.Name))
	}
	return fields{
		"nodes":    nodes,
		"pageInfo": fields{"hasNextPage": more, "endCursor": end, "hasPreviousPage": len(after) > 0}.get,
	}.get, nil
}

func (r *graphQLRoot) appObject(a sim.App) object {
	host := a.Name + ".fly.dev"
	plain := fields{
		"id": a.Name, "internalNumericId": a.NumericID, "name": a.Name, "hostname": host, "appUrl": "https://" + host,
		"deployed": a.Status == "deployed" || a.Status == "suspended", "status": a.Status, "version": 0, "platformVersion": "machines",
		"network": a.Network, "cnameTarget": a.ID[:7] + "." + host, "createdAt": a.CreatedAt.Format(time.RFC3339),
		"organization": orgObject(a.Org),
		"ipAddresses":  nodeList(nil), "egressIpAddresses": nodeList(nil), "hostIssues": nodeList(nil), "services": []object{},
	}
	return func(field string, args map[string]any) (any, error) {
		switch field {
		case "currentRelease", "currentReleaseUnprocessed":
			if a.Release == nil {
				return nil, nil
			}
			release := releaseObject(*a.Release)
			return object(func(field string, args map[string]any) (any, error) {
				if field == "configDefinition" {
					return definition(a), nil
				}
				return release(field, args)
			}), nil
		case "releases", "releasesUnprocessed":
			// The query text does not use the variable "status"; official clients
			// send it all the same and rely on its effect.
			releases, err := r.h.world.Releases(a.Name, text(r.vars["status"]), number(args["first"]))
			if err != nil {
				return nil, err
			}
			nodes := []object{}
			for _, rel := range releases {
				nodes = append(nodes, releaseObject(rel))
			}
			return nodeList(nodes), nil
		case "machines":
			return r.machines(a)
		case "role":
			if a.Role == "" {
				return nil, nil
			}
			return fields{"name": a.Role}.get, nil
		case "config":
			return fields{"definition": definition(a)}.get, nil
		}
		return plain.get(field, args)
	}
}

// definition returns an app's fly.toml as JSON.
func definition(a sim.App) any {
	if a.Definition == nil {
		return nil
	}
	return json.RawMessage(a.Definition)
}

func releaseObject(rel sim.Release) object {
	return fields{
		"id": rel.ID, "version": rel.Version, "description": rel.Description, "reason": rel.Reason, "status": rel.Status,
		"imageRef": rel.ImageRef, "stable": rel.Stable, "inProgress": rel.Status == "running", "evaluationId": "",
		"deploymentStrategy": rel.Strategy, "user": userObject(rel.User), "createdAt": rel.CreatedAt.Format(time.RFC3339),
	}.get
}

func userObject(email string) object {
	return fields{"id": "simuser", "email": email, "name": "Sim User"}.get
}

func (r *graphQLRoot) machine(id string) (any, error) {
	a, found := r.h.world.AppOf(id)
	if !found {
		return nil, nil // as the platform says that there is none
	}
	m, err := r.h.world.Machine(a.Name, id)
	if err != nil {
		return nil, err
	}
	return r.machineObject(a, m), nil
}

func (r *graphQLRoot) machines(a sim.App) (any, error) {
	machines, err := r.h.world.ListMachines(a.Name, sim.ListFilter{})
	if err != nil {
		return nil, err
	}
	nodes := []object{}
	for _, m := range machines {
		nodes = append(nodes, r.machineObject(a, m))
	}
	return nodeList(nodes), nil
}

func (r *graphQLRoot) machineObject(a sim.App, m sim.Machine) object {
	plain := fields{
		"id": m.ID, "name": m.Name, "config": m.Config, "state": m.State, "region": m.Region,
		"createdAt": m.CreatedAt.Format(time.RFC3339), "host": fields{"id": m.Host}.get,
		"ips": nodeList([]object{fields{"family": "v6", "kind": "privatenet", "ip": m.PrivateIP, "maskSize": 112}.get}),
	}
	return func(field string, args map[string]any) (any, error) {
		if field == "app" {
			return r.appObject(a), nil
		}
		return plain.get(field, args)
	}
}

func regionObjects(want func(sim.Region) bool) []object {
	var out []object
	for _, reg := range sim.Regions() {
		if want != nil && !want(reg) {
			continue
		}
		out = append(out, fields{
			"code": reg.Code, "name": reg.Name, "latitude": reg.Latitude, "longitude": reg.Longitude,
			"gatewayAvailable": reg.Gateway, "requiresPaidPlan": false, "deprecated": reg.Deprecated,
		}.get)
	}
	return out
}

// text returns an argument that should be a string; "" when it is none.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// number returns an argument that should be a number; 0 when it is none.
func number(v any) int {
	switch n := v.(type) {
	case int64:
		return int(n)
	case float64:
		return int(n)
	}
	return 0
}
