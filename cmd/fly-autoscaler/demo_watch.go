package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// demoWatch reads what goes on: from the autoscaler its last pass and its log,
// and from the platform which Machines there are.
type demoWatch struct {
	client  *http.Client
	targets string
	world   string
	serve   *child
	story   *demoStory
	heard   time.Time // when both answered last
}

// demoAnswer bounds one question, so that a part that hangs does not stop the
// picture for long.
const demoAnswer = time.Second

func newDemoWatch(platform, serve string, log *child, story *demoStory) *demoWatch {
	return &demoWatch{
		client:  &http.Client{Timeout: demoAnswer, Transport: &http.Transport{}},
		targets: serve + "/api/v1/targets?app=" + demoApp,
		world:   platform + "/_sim/world?app=" + demoApp,
		serve:   log,
		story:   story,
		heard:   story.start,
	}
}

func (w *demoWatch) close() { w.client.CloseIdleConnections() }

// look takes in what is new. A part that does not answer is an error only when it
// has not for long.
func (w *demoWatch) look(ctx context.Context) error {
	for line, ok := w.serve.takeLine(); ok; line, ok = w.serve.takeLine() {
		if entry, ok := parseLogEntry(line); ok {
			if entry.Time.IsZero() {
				entry.Time = time.Now()
			}
			w.story.log(entry)
		}
	}
	err := errors.Join(w.lookAtTarget(ctx), w.lookAtMachines(ctx))
	now := time.Now()
	w.story.tick(now)
	if err == nil {
		w.heard = now
	}
	if now.Sub(w.heard) > demoMute {
		return fmt.Errorf("no complete answer for %s: %w", demoMute, err)
	}
	return nil
}

func (w *demoWatch) lookAtTarget(ctx context.Context) error {
	var answer struct {
		Targets []struct {
			Decision *demoPass `json:"decision"`
		} `json:"targets"`
	}
	if err := getJSON(ctx, w.client, w.targets, "", &answer); err != nil {
		return err
	}
	for _, t := range answer.Targets {
		if t.Decision != nil {
			w.story.pass(*t.Decision)
		}
	}
	return nil
}

func (w *demoWatch) lookAtMachines(ctx context.Context) error {
	var answer struct {
		Apps []struct {
			Machines []demoMachine `json:"machines"`
		} `json:"apps"`
	}
	if err := getJSON(ctx, w.client, w.world, "", &answer); err != nil {
		return err
	}
	for _, a := range answer.Apps {
		w.story.platform(a.Machines)
	}
	return nil
}

// awaitMetric returns once the platform has scraped the metric, so that the first
// pass does not have to hold for want of it.
func awaitMetric(ctx context.Context, platform *child, address string, variables []string) error {
	ctx, cancel := context.WithTimeout(ctx, demoStartup)
	defer cancel()
	client := &http.Client{Timeout: demoAnswer, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	query := address + "/prometheus/" + demoOrg + "/api/v1/query?query=" + url.QueryEscape(strings.ReplaceAll(demoQuery, "$APP_NAME", demoApp))
	token := variableValue(variables, "FLY_API_TOKEN")
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		var answer struct {
			Data struct {
				Result []json.RawMessage `json:"result"`
			} `json:"data"`
		}
		err := getJSON(ctx, client, query, token, &answer)
		if err == nil && len(answer.Data.Result) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for the metric: %w", context.Cause(ctx)), err)
		case <-platform.done:
			return platform.died()
		case <-ticker.C:
		}
	}
}

// getJSON reads a JSON document; token may be empty.
func getJSON(ctx context.Context, client *http.Client, url, token string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or of no more use
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	_, err = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return err
}

// demoMachine is a Machine as the platform sees it.
type demoMachine struct {
	State  scale.State  `json:"state"`
	Region scale.Region `json:"region"`
}

// logEntry is what the demo reads in a line of the log of serve.
type logEntry struct {
	Time     time.Time `json:"time"`
	Level    string    `json:"level"`
	Message  string    `json:"msg"`
	Address  string    `json:"address"`
	Decision string    `json:"decision"`
	Verb     string    `json:"verb"`
	Result   string    `json:"result"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
}

// parseLogEntry reads a line of JSON. Other lines, such as a warning about the
// settings, are entries without a level.
func parseLogEntry(line string) (logEntry, bool) {
	var entry logEntry
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		line = strings.TrimSpace(line)
		return logEntry{Message: line}, line != ""
	}
	return entry, true
}
