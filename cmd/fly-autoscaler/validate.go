package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
)

func validateCommand() command {
	return command{
		name: "validate", summary: "check the settings, and touch nothing",
		help: `
Reads the settings from all layers and reports every problem with its place, or says
what would be governed. It asks neither the platform nor a metric source.

	fly-autoscaler validate -config fly-autoscaler.yml
` + settingsHelp,
		setup: func(env environment, flags *flag.FlagSet) func(context.Context) error {
			f := config.RegisterFlags(flags)
			return func(context.Context) error {
				settings, err := loadSettings(env, f)
				if err != nil {
					return err
				}
				fmt.Fprintf(env.stdout, "The settings are valid: %d target(s), every %s.\n", len(settings.Targets), settings.Interval)
				for _, t := range settings.Targets {
					fmt.Fprintf(env.stdout, "  app %s, process group %s, %d metric(s)\n", t.AppPattern, t.Group, len(t.Collectors))
				}
				if err := settings.RequireToken(); err != nil {
					fmt.Fprintln(env.stderr, "warning:", err)
				}
				return nil
			}
		},
	}
}
