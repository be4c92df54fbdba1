package sim

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// org is an organization.
type org struct {
	slug      string
	name      string
	personal  bool
	numericID int
	apps      []*app // sorted by name
	// rows are all Machines of the org in order of creation, including deleted
	// ones that are still remembered: the order of the org-wide list.
	rows []*machine
}

// app is an app with its Machines.
type app struct {
	org       *org
	name      string
	id        string
	numericID int
	role      string
	status    string
	network   string
	createdAt time.Time
	machines  []*machine // that can be read, in order of creation
	deleted   []*machine // remembered, but answered with 404
	byName    map[string]*machine
	releases  []*Release // oldest first
	volumes   []*volume
	// definition is the app's fly.toml as JSON; nil when nobody set one.
	definition []byte

	loads    []Load
	loadView []LoadMachine
}

// Org is what can be read of an organization.
type Org struct {
	Slug      string
	Name      string
	Personal  bool
	NumericID int
	Apps      int // how many apps it has
}

// App is what can be read of an app.
type App struct {
	Name       string
	ID         string
	NumericID  int
	Org        Org
	Role       string
	Status     string
	Network    string
	CreatedAt  time.Time
	Machines   int // that can be read
	Volumes    int
	Definition []byte // fly.toml as JSON; nil when nobody set one
	// Release is the newest release; nil when the app never had one.
	Release *Release
}

// AddOrg creates an organization. Adding one that exists changes nothing. The
// first org that is personal answers to the slug "personal" too.
func (w *World) AddOrg(slug, name string, personal bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.addOrg(slug, name, personal)
	return err
}

func (w *World) addOrg(slug, name string, personal bool) (*org, error) {
	if o, ok := w.orgs[slug]; ok {
		return o, nil
	}
	if !nameShape.MatchString(slug) {
		return nil, fmt.Errorf("add org %q: a slug has lower-case letters, digits and hyphens", slug)
	}
	if name == "" {
		name = slug
	}
	o := &org{slug: slug, name: name, personal: personal, numericID: 1000 + len(w.orgList)}
	w.orgs[slug] = o
	w.orgList = append(w.orgList, o)
	return o, nil
}

var nameShape = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

func (w *World) org(slug string) (*org, error) {
	if o, ok := w.orgs[slug]; ok {
		return o, nil
	}
	if slug == "personal" {
		for _, o := range w.orgList {
			if o.personal {
				return o, nil
			}
		}
	}
	return nil, orgNotFound(slug)
}

// Org returns an organization by its slug.
func (w *World) Org(slug string) (Org, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, err := w.org(slug)
	if err != nil {
		return Org{}, err
	}
	return o.view(), nil
}

// Orgs returns all organizations in order of creation.
func (w *World) Orgs() []Org {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Org, 0, len(w.orgList))
	for _, o := range w.orgList {
		out = append(out, o.view())
	}
	return out
}

func (o *org) view() Org {
	return Org{Slug: o.slug, Name: o.name, Personal: o.personal, NumericID: o.numericID, Apps: len(o.apps)}
}

// AppInput is what a new app is made of.
type AppInput struct {
	Name    string
	Org     string
	Network string
	Role    string
}

// CreateApp creates an app without Machines.
func (w *World) CreateApp(call Call, in AppInput) (App, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, err := w.org(in.Org)
	if err != nil {
		return App{}, err
	}
	a, err := w.addApp(o, in.Name, in.Role, in.Network)
	if err != nil {
		return App{}, err
	}
	w.record("app_create", a, nil, call)
	return a.view(), nil
}

func (w *World) addApp(o *org, name, role, network string) (*app, error) {
	if !nameShape.MatchString(name) {
		return nil, refuse(http.StatusUnprocessableEntity, "Validation failed: Name may only contain numbers, lowercase letters and dashes")
	}
	if _, taken := w.apps[name]; taken {
		e := refuse(http.StatusUnprocessableEntity, "Validation failed: Name has already been taken")
		e.Code = "name_taken"
		return nil, e
	}
	if network == "" {
		network = "default"
	}
	a := &app{
		org: o, name: name, id: w.opaque(16), numericID: 20000 + len(w.apps), role: role,
		status: "pending", network: network, createdAt: w.now, byName: make(map[string]*machine),
	}
	w.apps[name] = a
	o.apps = sortedInsert(o.apps, a, func(x, y *app) int { return strings.Compare(x.name, y.name) })
	return a, nil
}

// DeleteApp destroys an app with all its Machines and volumes, at once.
func (w *World) DeleteApp(call Call, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[name]
	if !ok {
		return appNotFound()
	}
	for _, m := range slices.Clone(a.machines) {
		if !gone(m) {
			w.destroy(m, 0)
			w.finishDestroy(m)
		}
		w.hide(m)
	}
	for _, v := range a.volumes {
		delete(w.volumes, v.ID)
	}
	delete(w.apps, name)
	a.org.apps = slices.DeleteFunc(a.org.apps, func(x *app) bool { return x == a })
	w.loaded = slices.DeleteFunc(w.loaded, func(x *app) bool { return x == a })
	w.record("app_delete", a, nil, call)
	return nil
}

// App returns an app by its name.
func (w *World) App(name string) (App, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[name]
	if !ok {
		return App{}, appNotFound()
	}
	return a.view(), nil
}

// Apps returns up to limit apps of an org whose names are after the given one,
// in order of name, and whether there are more. An empty slug means all orgs;
// an empty role any role; a limit of 0 no limit.
func (w *World) Apps(slug, role, after string, limit int) (page []App, more bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*app
	if slug == "" {
		for _, o := range w.orgList {
			all = append(all, o.apps...)
		}
		if len(w.orgList) > 1 {
			slices.SortFunc(all, func(x, y *app) int { return strings.Compare(x.name, y.name) })
		}
	} else {
		o, err := w.org(slug)
		if err != nil {
			return nil, false, err
		}
		all = o.apps
	}
	start := 0
	if after != "" {
		i, found := slices.BinarySearchFunc(all, after, func(a *app, name string) int { return strings.Compare(a.name, name) })
		if found {
			i++
		}
		start = i
	}
	for _, a := range all[start:] {
		if role != "" && a.role != role {
			continue
		}
		if limit > 0 && len(page) == limit {
			return page, true, nil
		}
		page = append(page, a.view())
	}
	return page, false, nil
}

// SetAppDefinition stores the app's fly.toml as JSON.
func (w *World) SetAppDefinition(name string, definition []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[name]
	if !ok {
		return appNotFound()
	}
	a.definition = slices.Clone(definition)
	return nil
}

func (a *app) view() App {
	v := App{
		Name: a.name, ID: a.id, NumericID: a.numericID, Org: a.org.view(), Role: a.role, Status: a.status,
		Network: a.network, CreatedAt: a.createdAt, Volumes: len(a.volumes), Definition: a.definition,
	}
	for _, m := range a.machines {
		if !gone(m) {
			v.Machines++
		}
	}
	if n := len(a.releases); n > 0 {
		r := *a.releases[n-1]
		v.Release = &r
	}
	return v
}
