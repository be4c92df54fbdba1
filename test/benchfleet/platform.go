package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

const (
	org    = "bench"
	metric = "want"
	// callLimit bounds one request of the administration. The history of ten
	// thousand apps is a few megabytes.
	callLimit = 30 * time.Second
	// setters is how many requests set the metric side by side.
	setters = 16
)

// scenario is the world of a run: two Machines of each app run, which is what
// its metric asks for, and two are there to be started. The metric is sampled as
// seldom as on Fly, so that the simulator leaves the processors to the program.
const scenario = `metrics: {interval: 15s}
apps:
  - app: bench
    org: ` + org + `
    count: %d
    release: {version: 1, status: complete}
    machines:
      - {count: 2, region: iad, state: started, group: app}
      - {count: 2, region: iad, state: stopped, group: app}
    load:
      - gauge: {metric: ` + metric + `, value: 2}
`

// platform is the administration of a running flysim.
type platform struct {
	url    string
	client *http.Client
}

func newPlatform(url string) *platform {
	transport := &http.Transport{MaxIdleConnsPerHost: setters}
	return &platform{url: url, client: &http.Client{Transport: transport, Timeout: callLimit}}
}

func (p *platform) close() { p.client.CloseIdleConnections() }

// stats returns the requests since the last reset.
func (p *platform) stats(ctx context.Context) (s flysim.Stats, err error) {
	return s, p.call(ctx, http.MethodGet, "/_sim/stats", nil, &s)
}

// history returns the changes that took effect since the last reset.
func (p *platform) history(ctx context.Context) ([]sim.Mutation, error) {
	var h struct {
		Entries []sim.Mutation `json:"entries"`
		Dropped int            `json:"dropped"`
	}
	err := p.call(ctx, http.MethodGet, "/_sim/history", nil, &h)
	if err == nil && h.Dropped > 0 {
		err = fmt.Errorf("the history lacks %d changes", h.Dropped)
	}
	return h.Entries, err
}

func (p *platform) reset(ctx context.Context) error {
	return p.call(ctx, http.MethodPost, "/_sim/reset", nil, nil)
}

// setAll gives the metric of every app a value, and returns when each was asked
// to be set.
func (p *platform) setAll(ctx context.Context, apps int, value float64) (map[string]time.Time, error) {
	at := make([]time.Time, apps)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(setters)
	for i := range apps {
		group.Go(func() error {
			at[i] = time.Now()
			return p.call(ctx, http.MethodPost, "/_sim/gauge",
				map[string]any{"org": org, "app": appName(i), "metric": metric, "value": value}, nil)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := make(map[string]time.Time, apps)
	for i, t := range at {
		out[appName(i)] = t
	}
	return out, nil
}

// appName is the name of the app with an index from 0, as flysim numbers them.
func appName(i int) string { return fmt.Sprintf("bench-%d", i+1) }

func (p *platform) call(ctx context.Context, method, path string, in, out any) error {
	body := io.Reader(http.NoBody)
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, body)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	case resp.StatusCode >= 300:
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}
