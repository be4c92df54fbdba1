package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/httpapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/memory"
)

// served returns a journal, the face that shows it, and that face's address.
func served(t *testing.T) (*journal.Journal, *httpapi.Server, string) {
	t.Helper()
	j, err := journal.Open(t.Context(), memory.New(), journal.VolatileRetention())
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	server, err := httpapi.Listen(t.Context(), "127.0.0.1:0", httpapi.Handler(httpapi.Config{
		Metrics: http.NotFoundHandler(), Journal: j, Logger: logger,
	}), logger)
	if err != nil {
		t.Fatal(err)
	}
	return j, server, "http://" + server.Addr() + "/api/v1/journal"
}

func record(t *testing.T, j *journal.Journal, app scale.App, kind journal.Kind) {
	t.Helper()
	e := journal.Entry{App: app, Group: "app", Kind: kind, At: time.Now(), Decision: json.RawMessage(`{"a":1}`), Inputs: &journal.Inputs{Policy: json.RawMessage(`{"b":2}`)}}
	if _, err := j.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	j, server, url := served(t)
	record(t, j, "web", journal.Sample)
	record(t, j, "web-2", journal.Acted)
	record(t, j, "api", journal.Failed)
	for query, want := range map[string]string{
		"":                                   "1 web, 2 web-2, 3 api",
		"?app=web":                           "1 web",
		"?app=web*":                          "1 web, 2 web-2",
		"?changes":                           "2 web-2",
		"?after=2":                           "3 api",
		"?since=1h":                          "1 web, 2 web-2, 3 api",
		"?until=1h":                          "",
		"?since=2999-01-01T00:00:00Z":        "",
		"?until=2999-01-01T00:00:00%2B01:00": "1 web, 2 web-2, 3 api",
	} {
		status, body := get(t, url+query)
		var got []string
		for line := range strings.Lines(body) {
			var item journal.Item
			if err := json.Unmarshal([]byte(line), &item); err != nil {
				t.Fatalf("%s: %q: %v", query, line, err)
			}
			got = append(got, fmt.Sprintf("%d %s", item.ID, item.App))
			if item.Inputs != nil || item.Decision == nil {
				t.Errorf("%s: entry %d: inputs %v, decision %s: want the decision alone", query, item.ID, item.Inputs, item.Decision)
			}
		}
		if status != http.StatusOK || strings.Join(got, ", ") != want {
			t.Errorf("%s: got %d, %q, want %q", query, status, got, want)
		}
	}
	if _, body := get(t, url+"?inputs&after=2"); !strings.Contains(body, `"policy":{"b":2}`) {
		t.Errorf("inputs are not in %s", body)
	}
	for path, want := range map[string]string{
		"/2":          `200 {"id":2,`,
		"/9":          "404 the journal has no entry 9",
		"/x":          "400 the number",
		"?since=soon": "400 since is neither",
		"?until=-1h":  "400 until is neither",
		"?after=-1":   "400 after is not",
	} {
		status, body := get(t, url+path)
		if got := fmt.Sprintf("%d %s", status, body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who follows gets what comes, the number of those who do is bounded, and the server
// ends in spite of them.
func TestFollowJournal(t *testing.T) {
	t.Parallel()
	j, server, url := served(t)
	follow := func() *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"?follow", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := new(http.Client).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	record(t, j, "web", journal.Acted)
	first := follow()
	defer first.Body.Close()
	lines := bufio.NewReader(first.Body)
	for i := range 3 {
		line, err := lines.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, fmt.Sprintf(`{"id":%d,`, i+1)) {
			t.Fatalf("got %q, %v, want entry %d", line, err, i+1)
		}
		record(t, j, "web", journal.Acted)
	}
	refused := 0
	for range 20 {
		resp := follow()
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused != 5 {
		t.Errorf("%d of 21 readers were refused, want 5", refused)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("shut down while somebody reads: %v", err)
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Errorf("the answer was cut off: %v", err)
	}
}
