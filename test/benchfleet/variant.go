package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// variant is a way to tell the program which apps there are and what they want.
type variant struct {
	name     string // in tables and messages
	settings func(b *bench) ([]string, error)
}

// together is how one asks for many apps: a wildcard, and a query that can be
// asked once for all.
var together = variant{"together", func(b *bench) ([]string, error) {
	return []string{
		"FAS_ORG=" + org, "FAS_APP_NAME=bench-*", "FAS_STARTED_MACHINE_COUNT=" + metric,
		"FAS_PROMETHEUS_ADDRESS=" + b.prometheus(), "FAS_PROMETHEUS_METRIC_NAME=" + metric,
		"FAS_PROMETHEUS_QUERY=max(" + metric + "{app='$APP_NAME'})",
	}, nil
}}

// separately has every app read and asked about by itself, by settings that
// leave no other way: a target for each app, and a query whose answer does not
// name the app.
var separately = variant{"separately", func(b *bench) ([]string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "metric-collectors:\n  - type: prometheus\n    metric-name: %[1]s\n    address: %[2]s\n"+
		"    query: max(%[1]s{app=~'$APP_NAME'})\ntargets:\n", metric, b.prometheus())
	for i := range b.apps {
		fmt.Fprintf(&text, "  - {app-name: %s, started-machine-count: %s}\n", appName(i), metric)
	}
	file := filepath.Join(b.dir, "fly-autoscaler.yml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return nil, fmt.Errorf("write the settings: %w", err)
	}
	return []string{"FAS_CONFIG=" + file}, nil
}}

func (b *bench) prometheus() string { return b.platform.url + "/prometheus/" + org }
