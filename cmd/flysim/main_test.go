package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestServesUntilAsked(t *testing.T) {
	scenario := filepath.Join(t.TempDir(), "shop.yaml")
	write(t, scenario, `
seed: 7
speed: 10
apps:
  - app: web
    org: acme
    release: {version: 3, status: complete}
    machines:
      - {count: 2, region: ams, group: app}
      - {region: fra, state: stopped, config: {image: "registry.fly.io/web:3"}}
    load:
      - gauge: {metric: queue_depth, value: {constant: 4}}
capacity:
  - {region: fra, max: 1}
faults:
  - {kind: error, op: app_list, status: 503}
`)
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	code := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		code <- run(ctx, []string{"-listen", "127.0.0.1:0", "--scenario", scenario, "-token", "secret"}, in, &stderr)
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("read the first line: %v (%s)", err, stderr.String())
	}
	found := regexp.MustCompile(`FLY_FLAPS_BASE_URL=(\S+) FLY_API_BASE_URL=\S+ FLY_UIEX_BASE_URL=\S+ FLY_API_TOKEN=secret\n`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("first line %q does not tell the variables", line)
	}

	var machines []struct {
		Region string `json:"region"`
		State  string `json:"state"`
	}
	if status := get(t, found[1]+"/v1/apps/web/machines", "secret", &machines); status != http.StatusOK || len(machines) != 3 {
		t.Errorf("list: status %d, machines %v, want three", status, machines)
	}
	if status := get(t, found[1]+"/v1/apps/web/machines", "other", nil); status != http.StatusUnauthorized {
		t.Errorf("list with another token: status %d, want 401", status)
	}
	if status := get(t, found[1]+"/v1/apps?org_slug=acme", "secret", nil); status != http.StatusServiceUnavailable {
		t.Errorf("call that the scenario orders a fault for: status %d, want 503", status)
	}
	var series struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	// The gauge is there from the first scrape on, one and a half seconds later
	// at this speed.
	for deadline := time.Now().Add(20 * time.Second); len(series.Data.Result) == 0 && time.Now().Before(deadline); {
		get(t, found[1]+"/prometheus/acme/api/v1/query?query=queue_depth", "secret", &series)
	}
	if len(series.Data.Result) != 1 || series.Data.Result[0].Value[1] != "4" {
		t.Errorf("query of the scenario's load: got %v, want one series of 4", series.Data.Result)
	}

	cancel()
	select {
	case got := <-code:
		if got != exitOK || stderr.Len() > 0 {
			t.Errorf("exit status %d, stderr %q, want 0 and nothing", got, stderr.String())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still running 10 s after it was asked to end")
	}
}

func get(t *testing.T, url, token string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRefusesBadUsage(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	write(t, bad, "seed: 1\nappz: []\n")
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"help", []string{"-help"}, exitOK, "Examples:", ""},
		{"unknown flag", []string{"-nope"}, exitUsage, "", "-nope"},
		{"argument", []string{"serve"}, exitUsage, "", `unexpected argument "serve"`},
		{"speed", []string{"-speed", "0"}, exitUsage, "", "must be more than 0"},
		{"latency", []string{"-latency", "-1s"}, exitUsage, "", "must not be negative"},
		{"no file", []string{"-scenario", filepath.Join(dir, "none.yaml")}, exitFailure, "", "none.yaml"},
		{"bad file", []string{"-scenario", bad}, exitFailure, "", "appz"},
		{"bad address", []string{"-listen", "nowhere:-1"}, exitFailure, "", "listen"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run(t.Context(), test.args, &stdout, &stderr); got != test.code {
				t.Errorf("exit status: got %d, want %d", got, test.code)
			}
			if !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("got stdout %q and stderr %q, want %q and %q in them", stdout.String(), stderr.String(), test.stdout, test.stderr)
			}
		})
	}
}
