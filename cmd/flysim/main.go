// Command flysim is a stand-in for the Fly.io platform on this machine: the
// Machines API, GraphQL and managed metrics on one port, over a simulated world
// with load, limits and faults to order. See package flysim for the
// administration and the form of scenario files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim/flysim"
)

const usage = `flysim is a stand-in for the Fly.io platform: the Machines API, GraphQL and
managed metrics on one port, with load, capacity limits and faults to order.

Usage:
  flysim [flags]

Flags:
%s
Examples:
  An empty platform, to be filled by hand:
    flysim
    curl -X POST localhost:4280/_sim/apps -d '{"org": "acme", "app": "web",
      "machines": [{"count": 3, "region": "ams"}, {"count": 2, "region": "fra", "state": "stopped"}]}'

  A platform as a file describes it, an hour a minute:
    flysim -scenario shop.yaml -speed 60

  Lose the answer of every second create, then see what happened:
    curl -X POST localhost:4280/_sim/faults -d '{"kind": "error", "op": "machine_create",
      "status": 502, "applied": true, "probability": 0.5}'
    curl localhost:4280/_sim/world

  Make a region full:
    curl -X POST localhost:4280/_sim/capacity -d '{"region": "fra", "max": 2}'

Point clients at it with the variables that it prints when it is ready.
Exit status: 0 when ended by SIGINT or SIGTERM, 1 on failure, 2 on bad usage.
`

// The exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the flags, and which of them were given.
type settings struct {
	listen     string
	scenario   string
	token      string
	seed       uint64
	latency    time.Duration
	rateLimits bool
	speed      float64
	given      map[string]bool
}

// parse reads the flags. Asked for help it writes that to out.
func parse(args []string, out io.Writer) (*settings, error) {
	s := &settings{given: make(map[string]bool)}
	flags := flag.NewFlagSet("flysim", flag.ContinueOnError)
	flags.StringVar(&s.listen, "listen", "127.0.0.1:4280", "`address` to serve on; port 0 takes a free one")
	flags.StringVar(&s.scenario, "scenario", "", "YAML `file` that describes the world to begin with")
	flags.Uint64Var(&s.seed, "seed", 1, "`number` that all random choices come from; goes before the scenario's")
	flags.DurationVar(&s.latency, "latency", 0, "added to every answer, such as 30ms; goes before the scenario's")
	flags.BoolVar(&s.rateLimits, "rate-limits", true, "refuse calls beyond the platform's limits with 429")
	flags.Float64Var(&s.speed, "speed", 1, "seconds of the world that pass in one second")
	flags.StringVar(&s.token, "token", "", "the only `token` to accept; any when empty")
	flags.SetOutput(io.Discard) // errors are returned, and printed once
	flags.Usage = func() {}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			var defaults strings.Builder
			flags.SetOutput(&defaults)
			flags.PrintDefaults()
			_, _ = fmt.Fprintf(out, usage, defaults.String())
			return nil, err
		}
		return nil, fmt.Errorf("%w; see flysim -help", err)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see flysim -help", flags.Arg(0))
	}
	if s.speed <= 0 {
		return nil, fmt.Errorf("-speed %v: must be more than 0", s.speed)
	}
	if s.latency < 0 {
		return nil, fmt.Errorf("-latency %v: must not be negative", s.latency)
	}
	flags.Visit(func(f *flag.Flag) { s.given[f.Name] = true })
	return s, nil
}

// run serves until ctx ends and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "flysim:", err)
		return exitUsage
	}
	if err := serve(ctx, s, stdout); err != nil {
		_, _ = fmt.Fprintln(stderr, "flysim:", err)
		return exitFailure
	}
	return exitOK
}

func serve(ctx context.Context, s *settings, stdout io.Writer) error {
	world, opts, err := s.platform()
	if err != nil {
		return err
	}
	server, err := flysim.Start(ctx, s.listen, world, opts)
	if err != nil {
		return err
	}
	url, token := server.URL(), s.token
	if token == "" {
		token = "sim"
	}
	_, err = fmt.Fprintf(stdout, "flysim serves %[1]s (machines /v1, graphql /graphql, metrics /prometheus/ORG, administration /_sim/world); "+
		"export FLY_FLAPS_BASE_URL=%[1]s FLY_API_BASE_URL=%[1]s FLY_UIEX_BASE_URL=%[1]s FLY_API_TOKEN=%[2]s\n", url, token)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, server.Close())
}

// platform makes the world that the settings ask for, and how it is served.
func (s *settings) platform() (world *sim.World, opts flysim.Options, err error) {
	scenario, dir := new(flysim.Scenario), "."
	if s.scenario != "" {
		text, err := os.ReadFile(s.scenario)
		if err != nil {
			return nil, opts, fmt.Errorf("read scenario: %w", err)
		}
		if scenario, err = flysim.ParseScenario(text); err != nil {
			return nil, opts, fmt.Errorf("%s: %w", s.scenario, err)
		}
		dir = filepath.Dir(s.scenario)
	}
	if s.given["seed"] {
		scenario.Seed = &s.seed
	}
	if world, err = scenario.World(time.Now(), openBeside(dir)); err != nil {
		return nil, opts, err
	}
	opts = scenario.Options()
	if s.given["latency"] {
		opts.Latency = s.latency
	}
	if s.given["rate-limits"] {
		opts.RateLimits = s.rateLimits
	}
	if s.given["speed"] {
		opts.Speed = s.speed
	}
	if s.token != "" {
		opts.Tokens = []string{s.token}
	}
	return world, opts, nil
}

// openBeside opens the traces that a scenario names relative to its folder.
func openBeside(dir string) sim.OpenFunc {
	return func(name string) (io.ReadCloser, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return os.Open(name)
	}
}
