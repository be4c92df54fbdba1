package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/fly-autoscaler/fly-autoscaler/internal/app"
	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

func evalCommand() command {
	return command{
		name: "eval", summary: "evaluate the expressions once, and change nothing",
		help: `
Collects the metrics once, evaluates the expressions and prints the counts as JSON,
null where a count is not defined:

	{"created":{"min":…,"max":…},"started":{"min":…,"max":…}}

For a pattern of apps the JSON is an object with one such value for each app. An
expression without a value is an error. With -explain the trace of the decision
follows: what was measured, what is there, and what came of it.

	fly-autoscaler eval -app my-app -expr 'ceil(queue_depth / 10)' …
	FAS_STARTED_MACHINE_COUNT=queue_depth fly-autoscaler eval
` + settingsHelp,
		setup: func(env environment, flags *flag.FlagSet) func(context.Context) error {
			f := config.RegisterFlags(flags)
			explain := flags.Bool("explain", false, "add what was measured and how it was decided")
			return func(ctx context.Context) (err error) {
				a, settings, err := openApp(env, f, slog.LevelWarn, nil)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, a.Close()) }()
				evaluate := a.Eval
				if *explain {
					evaluate = func(ctx context.Context) ([]app.Report, error) { return a.Once(ctx, false) }
				}
				reports, err := evaluate(ctx)
				if err != nil {
					return err
				}
				failed := evalErrors(reports)
				if failed == nil || valued(reports) {
					// A script must not take an unknown count for one that is not defined.
					if err := printLimits(env.stdout, settings, reports); err != nil {
						return err
					}
				}
				if *explain {
					for _, r := range reports {
						explainReport(env.stdout, r)
					}
					explainMetrics(env.stdout, a.Metrics())
				}
				return failed
			}
		},
	}
}

// printLimits prints the limits of the only target, or of all by app.
func printLimits(w io.Writer, settings *config.Settings, reports []app.Report) error {
	var out any
	if len(settings.Targets) == 1 && !settings.Targets[0].Wildcard() {
		out = reports[0].Decision.Limits
	} else {
		byTarget := make(map[string]scale.Limits, len(reports))
		for _, r := range reports {
			if evalErrors([]app.Report{r}) == nil {
				byTarget[targetName(r)] = r.Decision.Limits
			}
		}
		out = byTarget
	}
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(data))
	return err
}

// targetName names a report's target: the app, and the group where it is not the
// default one.
func targetName(r app.Report) string {
	if r.Group == scale.DefaultProcessGroup {
		return string(r.App)
	}
	return string(r.App) + "/" + string(r.Group)
}

// evalErrors tells which expressions have no value.
func evalErrors(reports []app.Report) error {
	var errs []error
	for _, r := range reports {
		if r.Decision == nil {
			errs = append(errs, fmt.Errorf("app %q: %w", r.App, r.Err))
			continue
		}
		for _, l := range settingsOf(r.Decision.Limits) {
			if l.Defined && !l.Known {
				errs = append(errs, fmt.Errorf("app %q: %s-machine-count %q has no value: %s", r.App, l.Name, l.Source, l.Reason))
			}
		}
	}
	return errors.Join(errs...)
}

// valued reports whether some target's expressions all have values, although
// another's may not.
func valued(reports []app.Report) bool {
	return slices.ContainsFunc(reports, func(r app.Report) bool { return evalErrors([]app.Report{r}) == nil })
}

// settingsOf names limits as the settings do, in which an exact count is one.
func settingsOf(l scale.Limits) []scale.NamedLimit {
	var out []scale.NamedLimit
	for _, pair := range []struct {
		name   string
		lo, hi scale.Limit
	}{{"created", l.MinCreated, l.MaxCreated}, {"started", l.MinStarted, l.MaxStarted}} {
		if pair.lo == pair.hi {
			out = append(out, scale.NamedLimit{Name: pair.name, Limit: pair.lo})
			continue
		}
		out = append(out, scale.NamedLimit{Name: "min-" + pair.name, Limit: pair.lo}, scale.NamedLimit{Name: "max-" + pair.name, Limit: pair.hi})
	}
	return out
}
