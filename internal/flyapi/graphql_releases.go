package flyapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// releasesAtOnce is how many apps one query asks about. Each costs the platform
// two look-ups, so that a query of all apps would be refused or time out.
const releasesAtOnce = 100

// Releases returns the newest release of each of the apps, with one query for
// every 100 of them. There is an entry for each app: where the answer could not
// be had, it is not Known and Unavailable says why. The returned error joins one
// *Error for each app that was refused and one, without an App, for each query
// that failed as a whole.
func (c *Client) Releases(ctx context.Context, apps []scale.App) (map[scale.App]scale.Release, error) {
	releases := make(map[scale.App]scale.Release, len(apps))
	asked := make([]scale.App, 0, min(len(apps), releasesAtOnce))
	var errs []error
	ask := func() {
		if len(asked) > 0 {
			errs = append(errs, c.releases(ctx, asked, releases)...)
			asked = asked[:0]
		}
	}
	for _, app := range apps {
		if _, again := releases[app]; again {
			continue
		}
		releases[app] = scale.Release{}
		if asked = append(asked, app); len(asked) == releasesAtOnce {
			ask()
		}
	}
	ask()
	return releases, errors.Join(errs...)
}

// releases asks about some apps in one query, and adds what it learns.
func (c *Client) releases(ctx context.Context, apps []scale.App, into map[scale.App]scale.Release) []error {
	query, variables := releasesQuery(apps)
	cl := c.graphqlCall(opReleases, "")
	body, err := marshal(graphqlBody{query, variables})
	if err != nil {
		return unavailable(apps, into, c.newError(cl, KindInvalid, "encode the query: "+err.Error()))
	}
	cl.body = body
	var answer releasesAnswer
	cl.decode = func(body []byte) error {
		answer = releasesAnswer{}
		return answer.decode(body)
	}
	if err := c.do(ctx, cl); err != nil {
		return unavailable(apps, into, err)
	}
	var errs []error
	for i, app := range apps {
		release, refused := answer.of(releaseAlias(i))
		if refused != nil {
			e := c.newError(cl, refused.kind, refused.message)
			e.App, e.Code = app, oneLine(c.credential.redact(refused.code, ""))
			errs = append(errs, e)
			release = scale.Release{Unavailable: e.Error()}
		}
		into[app] = release
	}
	return errs
}

// unavailable notes that nothing could be learned of the apps, and returns the
// one error that they share.
func unavailable(apps []scale.App, into map[scale.App]scale.Release, err error) []error {
	for _, app := range apps {
		into[app] = scale.Release{Unavailable: err.Error()}
	}
	return []error{err}
}

func releaseAlias(i int) string { return "a" + strconv.Itoa(i) }

// releasesQuery asks for each app under an alias. The names of the apps are
// variables, as everywhere, and never part of the text.
func releasesQuery(apps []scale.App) (string, map[string]any) {
	var declared, selected strings.Builder
	variables := make(map[string]any, len(apps))
	for i, app := range apps {
		if i > 0 {
			declared.WriteString(", ")
		}
		fmt.Fprintf(&declared, "$n%d: String!", i)
		fmt.Fprintf(&selected, " %s: app(name: $n%d) { currentRelease: currentReleaseUnprocessed { id version status createdAt } }", releaseAlias(i), i)
		variables["n"+strconv.Itoa(i)] = string(app)
	}
	return "query(" + declared.String() + ") {" + selected.String() + " }", variables
}

// releasesAnswer is what came of a query for several apps: for each an object,
// or null with an error that names it.
type releasesAnswer struct {
	apps   map[string]json.RawMessage
	errors []graphqlError
}

func (a *releasesAnswer) decode(body []byte) error {
	var w struct {
		Data   json.RawMessage `json:"data"`
		Errors []graphqlError  `json:"errors"`
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return fmt.Errorf("decode GraphQL answer: %w", err)
	}
	a.errors = w.Errors
	if !isObject(w.Data) {
		if len(w.Errors) > 0 {
			return w.Errors[0].refusal(len(w.Errors))
		}
		return errors.New("decode GraphQL answer: no data")
	}
	if err := json.Unmarshal(w.Data, &a.apps); err != nil {
		return fmt.Errorf("decode GraphQL data: %w", err)
	}
	return nil
}

// of returns the release of the app under the alias, or why there is none.
func (a *releasesAnswer) of(alias string) (scale.Release, *refusal) {
	if reported := a.about(alias); reported != nil {
		return scale.Release{}, reported.refusal(1)
	}
	raw := a.apps[alias]
	if !isObject(raw) {
		// An error that names no app may be the reason.
		if unnamed := a.about(""); unnamed != nil {
			return scale.Release{}, unnamed.refusal(1)
		}
		return scale.Release{}, errNoSuchApp
	}
	var w struct {
		Release *wireRelease `json:"currentRelease"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return scale.Release{}, &refusal{kind: KindProtocol, message: "unusable answer: decode GraphQL data: " + err.Error()}
	}
	release, err := w.Release.release()
	if err != nil {
		return scale.Release{}, &refusal{kind: KindProtocol, message: "unusable answer: " + err.Error()}
	}
	return release, nil
}

// about returns the first error below the alias; with an empty one, the first
// that says nothing about where.
func (a *releasesAnswer) about(alias string) *graphqlError {
	for i := range a.errors {
		if a.errors[i].top() == alias {
			return &a.errors[i]
		}
	}
	return nil
}

// top returns the first element of the error's path, "" when it has none.
func (g graphqlError) top() string {
	var path []text
	if json.Unmarshal(g.Path, &path) != nil || len(path) == 0 {
		return ""
	}
	return string(path[0])
}
