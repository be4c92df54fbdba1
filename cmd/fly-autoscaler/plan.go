package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/fly-autoscaler/fly-autoscaler/internal/app"
	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func planCommand() command {
	return command{
		name: "plan", summary: "show what would be done now, and why",
		help: `
Reads the metrics and the Machines, decides, and prints the actions that a pass would
take, with the trace of the decision. It changes nothing. -json is for scripts.

	fly-autoscaler plan -config fly-autoscaler.yml
	fly-autoscaler plan -config fly-autoscaler.yml -json | jq '.targets[].plan.actions'
` + settingsHelp,
		setup: func(env environment, flags *flag.FlagSet) func(context.Context) error {
			return passCommand(env, flags, false)
		},
	}
}

func onceCommand() command {
	return command{
		name: "once", summary: "make one pass and end",
		help: `
Makes one pass over every target, as serve does each interval, prints what was done,
and ends: with status 0 if every pass went well, also when there was nothing to do, and
with 1 if one failed or an expression had no value. For cron and scheduled Machines.
With -dry-run nothing is changed.

	fly-autoscaler once -config fly-autoscaler.yml
` + settingsHelp,
		setup: func(env environment, flags *flag.FlagSet) func(context.Context) error {
			return passCommand(env, flags, true)
		},
	}
}

// passCommand makes one pass over every target and prints it.
func passCommand(env environment, flags *flag.FlagSet, act bool) func(context.Context) error {
	f := config.RegisterFlags(flags)
	asJSON := flags.Bool("json", false, "print JSON instead of tables")
	return func(ctx context.Context) (err error) {
		least := slog.LevelWarn
		if act {
			least = slog.LevelDebug
		}
		a, _, err := openApp(env, f, least, nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, a.Close()) }()
		reports, err := a.Once(ctx, act)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(env.stdout, reports)
		} else {
			for _, r := range reports {
				explainReport(env.stdout, r)
			}
		}
		return errors.Join(err, passErrors(reports))
	}
}

// printJSON prints the passes for scripts.
func printJSON(w io.Writer, reports []app.Report) error {
	type target struct {
		app.Report
		Limits  *scale.Limits `json:"limits,omitempty"`
		Summary string        `json:"summary,omitempty"`
		Error   string        `json:"error,omitempty"`
	}
	targets := make([]target, 0, len(reports))
	for _, r := range reports {
		t := target{Report: r}
		if r.Decision != nil {
			t.Limits, t.Summary = &r.Decision.Limits, r.Decision.Line()
		}
		if r.Err != nil {
			t.Error = r.Err.Error()
		}
		targets = append(targets, t)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"targets": targets})
}

// passErrors tells which passes failed.
func passErrors(reports []app.Report) error {
	var errs []error
	for _, r := range reports {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("app %q: %w", r.App, r.Err))
		}
	}
	if err := evalErrors(withDecision(reports)); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// withDecision drops the passes that failed before they could decide.
func withDecision(reports []app.Report) []app.Report {
	var out []app.Report
	for _, r := range reports {
		if r.Decision != nil {
			out = append(out, r)
		}
	}
	return out
}
