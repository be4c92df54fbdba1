package sim

import (
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// Observer is told of what happens in a world at the moment it does, so that a
// test can hold every step to what must be true. The world's lock is held during
// its calls: they must not call methods of the World.
type Observer interface {
	// Changed is called after a Machine came to be, changed or ended, whoever caused
	// it, with what it is from then on.
	Changed(MachineChange)
	// Asked is called after each effective mutation that somebody asked for, when the
	// changes that it made at once have been told.
	Asked(Mutation)
}

// MachineChange is what a Machine is from a moment on.
type MachineChange struct {
	At  time.Time
	App string
	ID  string
	// Name and Region never change.
	Name       string
	Region     string
	Group      string
	State      scale.State
	Launching  bool // created, and going to start by itself
	Cordoned   bool
	HostStatus scale.HostStatus
	Metadata   map[string]string // of the configuration; only to be read
	UpdatedAt  time.Time         // as calls tell it: a host that gets out of reach does not count
}

// Observe sets who is told of what happens from now on; nil tells nobody.
func (w *World) Observe(o Observer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observer = o
}

func (w *World) tell(m *machine) {
	if w.observer == nil {
		return
	}
	w.observer.Changed(MachineChange{
		At: w.now, App: m.app.name, ID: m.id, Name: m.name, Region: m.region, Group: m.group(), State: m.state,
		Launching: m.launching, Cordoned: m.cordoned, HostStatus: m.hostStatus, Metadata: m.cfg.facts.Metadata, UpdatedAt: m.updatedAt,
	})
}
