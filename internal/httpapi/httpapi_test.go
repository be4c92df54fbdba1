package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/httpapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestFace(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	ready := false
	handler := httpapi.Handler(httpapi.Config{
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fas_x 1\n") }),
		Ready:   func() (bool, string) { return ready, "2 of 3" },
		Targets: func(app scale.App) []httpapi.Target {
			if app == "none" {
				return nil
			}
			return []httpapi.Target{{App: "web", Group: "app", Summary: "hold at 2"}}
		},
		Logger: logger,
	})
	server, err := httpapi.Listen(t.Context(), "127.0.0.1:0", handler, logger)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + server.Addr()
	for _, tt := range []struct {
		path   string
		status int
		body   string
	}{
		{"/healthz", 200, "ok"},
		{"/readyz", 503, "not ready"},
		{"/readyz?verbose", 503, "not ready: 2 of 3"},
		{"/metrics", 200, "fas_x 1"},
		{"/api/v1/targets", 200, `"summary":"hold at 2"`},
		{"/api/v1/targets?app=none", 200, `{"targets":[]}`},
		{"/", 200, "/api/v1/targets"},
		{"/debug/pprof/", 404, ""},
	} {
		if status, body := get(t, url+tt.path); status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s: got %d %q, want %d and %q", tt.path, status, body, tt.status, tt.body)
		}
	}
	ready = true
	if status, _ := get(t, url+"/readyz"); status != 200 {
		t.Errorf("/readyz: got %d once ready", status)
	}
	if _, body := get(t, url+"/api/v1/targets"); !json.Valid([]byte(body)) {
		t.Errorf("targets are not JSON: %s", body)
	}
	if _, err := httpapi.Listen(t.Context(), server.Addr(), handler, logger); err == nil || !strings.Contains(err.Error(), server.Addr()) {
		t.Errorf("a second listener on %s: %v, want an error that names the address", server.Addr(), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("shut down: %v", err)
	}
}
