package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
)

// lookEvery is how often the file of the settings is looked at. A change is taken
// over once it is the same at two looks, so that a file that is just being written
// is not read half. Looking at the content needs no events, which links and mounts
// by which settings are often replaced do not give.
const lookEvery = time.Second

// settingsWatch tells when the settings may have changed.
type settingsWatch struct {
	env   environment
	flags *config.Flags
	path  string // empty without a file
	taken []byte // the content that was taken over last
	note  string // why the file could not be read, at the last look
}

// watchSettings notes what the file says now; call it before the settings are
// loaded, so that no change goes unnoticed.
func watchSettings(env environment, flags *config.Flags) *settingsWatch {
	w := &settingsWatch{env: env, flags: flags, path: config.ConfigPath(flags, env.environ)}
	if w.path != "" {
		// What cannot be read here is reported by the load.
		w.taken, _ = env.readFile(w.path)
	}
	return w
}

// run hands on how to read the settings anew, each time that they may have changed or
// that SIGHUP asks for it, until ctx ends; then it closes the channel.
func (w *settingsWatch) run(ctx context.Context) <-chan func() (*config.Settings, error) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	out := make(chan func() (*config.Settings, error))
	go func() {
		defer close(out)
		defer signal.Stop(hup)
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		var before []byte
		for {
			asked := false
			select {
			case <-ctx.Done():
				return
			case <-hup:
				asked = true
			case <-ticker.C:
			}
			now, read := w.look(asked, before)
			before = now
			if read == nil {
				continue
			}
			select {
			case out <- read:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// look reads the file. It returns its content, and how to read the settings if they
// are to be taken over.
func (w *settingsWatch) look(asked bool, before []byte) ([]byte, func() (*config.Settings, error)) {
	if w.path == "" {
		if !asked {
			return nil, nil
		}
		return nil, func() (*config.Settings, error) { return w.load(nil) }
	}
	now, err := w.env.readFile(w.path)
	if err != nil {
		repeated := err.Error() == w.note
		w.note = err.Error()
		if repeated && !asked {
			return nil, nil
		}
		// It differs from whatever comes next.
		w.taken = nil
		return nil, func() (*config.Settings, error) { return nil, fmt.Errorf("read the configuration: %w", err) }
	}
	w.note = ""
	if !asked && (bytes.Equal(now, w.taken) || !bytes.Equal(now, before)) {
		return now, nil
	}
	w.taken = now
	return now, func() (*config.Settings, error) { return w.load(now) }
}

func (w *settingsWatch) load(file []byte) (*config.Settings, error) {
	in := config.Input{Environ: w.env.environ, Flags: w.flags, Path: w.path, File: file}
	settings, warnings, err := config.Load(in)
	for _, warning := range warnings {
		fmt.Fprintln(w.env.stderr, "warning:", warning)
	}
	return settings, err
}
