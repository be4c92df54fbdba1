package app

import (
	"errors"

	"github.com/fly-autoscaler/fly-autoscaler/internal/config"
)

// generation is what follows from one reading of the settings. It is never changed;
// other settings make another one.
type generation struct {
	settings *config.Settings
	rules    []rule
	cleanups []cleanup
}

// newGeneration builds the rules of the settings. It talks to nobody, and nothing
// changes for those who govern by another generation.
func (a *App) newGeneration(settings *config.Settings) (_ *generation, err error) {
	g := &generation{settings: settings}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	for _, target := range settings.Targets {
		r, err := newRule(a, g, target)
		if err != nil {
			return nil, err
		}
		r.dryRun = settings.DryRun
		g.rules = append(g.rules, r)
	}
	return g, nil
}

func (g *generation) onClose(name string, run func() error) {
	g.cleanups = append(g.cleanups, cleanup{name, run})
}

// close releases what the rules hold.
func (g *generation) close() error { return closeAll(g.cleanups) }
