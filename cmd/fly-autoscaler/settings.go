package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/fly-autoscaler/fly-autoscaler/internal/app"
	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// settingsHelp ends the help of every command that takes settings.
const settingsHelp = `
Settings: a YAML file (-config or FAS_CONFIG), above it the environment (FAS_APP_NAME,
FAS_STARTED_MACHINE_COUNT, FAS_PROMETHEUS_ADDRESS, FAS_API_TOKEN, …), above it flags.
Every setting is described in docs/config.md and examples/fly-autoscaler.yml.`

// loadSettings merges the layers. It prints warnings and problems itself and then
// returns errQuiet.
func loadSettings(env environment, flags *config.Flags) (*config.Settings, error) {
	in := config.Input{Environ: env.environ, Flags: flags}
	if path := config.ConfigPath(flags, env.environ); path != "" {
		data, err := env.readFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		in.Path, in.File = path, data
	}
	settings, warnings, err := config.Load(in)
	for _, w := range warnings {
		fmt.Fprintln(env.stderr, "warning:", w)
	}
	if err != nil {
		fmt.Fprintln(env.stderr, err)
		return nil, errQuiet
	}
	return settings, nil
}

// openApp loads the settings and builds the autoscaler from them. The logger
// writes to standard error at the least level given or the settings', whichever
// is higher. Of reload, unless nil, see app.Options.
func openApp(env environment, flags *config.Flags, least slog.Level, reload <-chan func() (*config.Settings, error)) (*app.App, *config.Settings, error) {
	settings, err := loadSettings(env, flags)
	if err != nil {
		return nil, nil, err
	}
	logger := newLogger(env.stderr, settings.LogFormat, max(least, settings.LogLevel))
	a, err := app.New(settings, app.Options{Logger: logger, Version: versionString(), Self: ownApp(env.environ), Reload: reload})
	if err != nil {
		return nil, nil, err
	}
	return a, settings, nil
}

func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// ownApp is the app that this process runs as. The platform tells it to every
// Machine.
func ownApp(environ []string) scale.App {
	for _, variable := range environ {
		if name, ok := strings.CutPrefix(variable, "FLY_APP_NAME="); ok {
			return scale.App(name)
		}
	}
	return ""
}
