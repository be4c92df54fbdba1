package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// demoScenario is the platform of the demo, as flysim reads it.
//
//go:embed demo.yaml
var demoScenario string

// What the autoscaler of the demo is told. The names fit demoScenario.
const (
	demoOrg     = "demo"
	demoApp     = "worker"
	demoMetric  = "jobs"
	demoQuery   = `sum(queue_depth{app="$APP_NAME"}) + sum(queue_depth_in_flight{app="$APP_NAME"})`
	demoCreated = "min(ceil(jobs / 25) + 3, 10)"
	demoStarted = "min(ceil(jobs / 20) + 1, 9)"
)

// demoWave is how long the load needs to rise and fall, with the time that it
// takes to begin and to follow.
const demoWave = 25 * time.Second

func demoCommand() command {
	return command{
		name: "demo", summary: "try it on a simulated platform, without an account",
		help: `
Runs the real "fly-autoscaler serve" against flysim, a simulated Fly.io on this
machine: an app of four Machines works on a queue whose load rises and falls every 22
seconds. Shown live are the metric, the Machines that are started and wanted, where
they are, and each change with its reason. It needs no account and no network, leaves
no files behind, and ends what it started when it ends.

	fly-autoscaler demo            until Ctrl-C
	fly-autoscaler demo -for 30s   long enough for one wave

The Machines shown are the platform's own account of them, not the autoscaler's. At the
end it tells whether they followed the load up and down. The exit status is 0 if they
did, and 1 if they did not, if there was no time to see it (-for below 25s), or if a
part of the demo died; with Ctrl-C it is 0 also when it was too early to tell.

On a terminal the picture is redrawn in place, in colours unless NO_COLOR is set.
Elsewhere there is one line a second and one for each change.

The autoscaler of the demo is started with nothing but these variables, so that the
same can be had by hand; flysim -help tells how to start the platform:

	` + strings.Join(demoSettings([]string{"FLY_FLAPS_BASE_URL=…", "FLY_API_BASE_URL=…", "FLY_API_TOKEN=…"}, "…"), "\n\t"),
		setup: func(env environment, flags *flag.FlagSet) func(context.Context) error {
			length := flags.Duration("for", 0, "end by itself after this `time`, such as 30s (default: until Ctrl-C)")
			return func(ctx context.Context) error {
				if *length < 0 {
					return fmt.Errorf("-for %s: a time must not be negative: %w", *length, errUsage)
				}
				self, err := os.Executable()
				if err != nil {
					return fmt.Errorf("find the own executable, to run it as serve: %w", err)
				}
				platform, err := findFlysim(self)
				if err != nil {
					return err
				}
				return demo{self: self, flysim: platform, length: *length, screen: newDemoScreen(env)}.run(ctx)
			}
		},
	}
}

// demoSettings is the environment of the autoscaler: the platform's variables as
// flysim tells them, and settings.
func demoSettings(platform []string, url string) []string {
	return append(platform,
		"FAS_ORG="+demoOrg,
		"FAS_APP_NAME="+demoApp,
		"FAS_REGIONS=iad,ord,ams",
		"FAS_PROMETHEUS_ADDRESS="+url+"/prometheus/"+demoOrg,
		"FAS_PROMETHEUS_METRIC_NAME="+demoMetric,
		"FAS_PROMETHEUS_QUERY="+demoQuery,
		"FAS_CREATED_MACHINE_COUNT="+demoCreated,
		"FAS_STARTED_MACHINE_COUNT="+demoStarted,
		"FAS_INTERVAL=1s",
		"FAS_TIMEOUT=10s",
		"FAS_LISTEN=127.0.0.1:0",
		"FAS_LOG_FORMAT=json",
	)
}

// findFlysim returns the path of flysim: the one that was built with this
// program, else the one on PATH.
func findFlysim(self string) (string, error) {
	dir := filepath.Dir(self)
	if path, err := exec.LookPath(filepath.Join(dir, "flysim")); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("flysim"); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("flysim, the simulated platform, is not beside this program in %s nor on PATH: run make build", dir)
}

// demo is one run of the demo.
type demo struct {
	self, flysim string
	length       time.Duration // 0: until ctx ends
	screen       demoScreen
}

const (
	demoStartup = 20 * time.Second       // for a part to come up, on a machine that is busy
	demoFrame   = 250 * time.Millisecond // between two pictures
	demoMute    = 10 * time.Second       // how long a part may fail to answer
)

// run returns nil when the Machines followed the load, and when ctx ended before
// that could be told.
func (d demo) run(ctx context.Context) (err error) {
	platform := startChild(ctx, &child{
		name: "flysim", path: d.flysim, args: []string{"-listen", "127.0.0.1:0", "-scenario", "/dev/stdin"},
		// Read from a pipe, so that there is no file to leave behind.
		stdin: demoScenario,
	})
	defer platform.stop()
	variables, err := awaitLine(ctx, platform, demoStartup, platformVariables)
	if err != nil {
		return ended(ctx, err)
	}
	url := variableValue(variables, "FLY_FLAPS_BASE_URL")
	if err := awaitMetric(ctx, platform, url, variables); err != nil {
		return ended(ctx, err)
	}

	serve := startChild(ctx, &child{name: "serve", path: d.self, args: []string{"serve"}, env: demoSettings(variables, url)})
	defer serve.stop()
	address, err := awaitLine(ctx, serve, demoStartup, servingAddress)
	if err != nil {
		return ended(ctx, err)
	}

	story := newDemoStory(time.Now(), d.length)
	watch := newDemoWatch(url, "http://"+address, serve, story)
	defer watch.close()
	failure := d.follow(ctx, platform, serve, watch, story)
	now := time.Now()
	verdict, followed := story.verdict(now)
	d.screen.end(story, now, verdict)
	switch {
	case failure != nil:
		return failure
	case followed == demoFollowed, followed == demoTooEarly && ctx.Err() != nil:
		return nil
	}
	return errQuiet // the verdict tells
}

// follow draws until the time is up, ctx ends, or a part fails.
func (d demo) follow(ctx context.Context, platform, serve *child, watch *demoWatch, story *demoStory) error {
	var timeUp <-chan time.Time
	if d.length > 0 {
		timeUp = time.After(d.length)
	}
	frames := time.NewTicker(demoFrame)
	defer frames.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timeUp:
			return nil
		case <-platform.done:
			return ended(ctx, platform.died())
		case <-serve.done:
			return ended(ctx, serve.died())
		case <-frames.C:
		}
		if err := watch.look(ctx); err != nil {
			return ended(ctx, err)
		}
		d.screen.draw(story, time.Now())
	}
}

// demoSettle is how long after a part's end the demo itself may be told to end.
const demoSettle = 300 * time.Millisecond

// ended returns err, or nil when the demo was told to end: Ctrl-C may reach the
// parts before the demo knows of it.
func ended(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(demoSettle):
	}
	return err
}

// platformVariables returns the variables that flysim's first line tells to
// export.
func platformVariables(line string) ([]string, bool) {
	_, export, ok := strings.Cut(line, "export ")
	variables := strings.Fields(export)
	return variables, ok && variableValue(variables, "FLY_FLAPS_BASE_URL") != ""
}

func variableValue(variables []string, name string) string {
	for _, v := range variables {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// servingAddress returns where serve answers, which its log tells.
func servingAddress(line string) (string, bool) {
	entry, ok := parseLogEntry(line)
	return entry.Address, ok && entry.Message == "serving" && entry.Address != ""
}
