package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
)

func serveCommand() command {
	return command{
		name: "serve", summary: "scale, until told to end",
		help: `
Brings every target to where its expressions want it, every interval (15s), until
SIGINT or SIGTERM ends it, within ten seconds. Metrics, health and the last decisions
are served on the listen address (:9090): /metrics /healthz /readyz /api/v1/targets.
A settings file that changes is taken over within seconds, or at once on SIGHUP; a bad
one is reported, and the settings before stay in force.

	fly-autoscaler serve -app my-app -expr 'ceil(queue_depth / 10)' \
	  -prometheus.address https://api.fly.io/prometheus/my-org \
	  -prometheus.metric-name queue_depth -prometheus.query 'sum(queue_depth)'
	fly-autoscaler serve -config fly-autoscaler.yml -dry-run
` + settingsHelp,
		setup: func(env environment, flags *flag.FlagSet) func(context.Context) error {
			f := config.RegisterFlags(flags)
			return func(ctx context.Context) (err error) {
				ctx, stop := context.WithCancel(ctx)
				defer stop()
				watch := watchSettings(env, f)
				a, _, err := openApp(env, f, slog.LevelDebug, watch.run(ctx))
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, a.Close()) }()
				return a.Serve(ctx)
			}
		},
	}
}
