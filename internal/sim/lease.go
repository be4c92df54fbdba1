package sim

import (
	"net/http"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// defaultLease is how long a lease lasts when the caller does not say.
const defaultLease = 30 * time.Second

// lease is a lease on a Machine. It ends by the clock; nothing removes it then.
type lease struct {
	nonce       string
	owner       string
	description string
	expiresAt   time.Time
}

// Lease is what can be read of a lease.
type Lease struct {
	Nonce       string // for its holder; not to be shown to others
	Owner       string
	Description string
	ExpiresAt   time.Time
	Version     string // the Machine's instance id
}

func leaseNotFound() *Error { return refuse(http.StatusNotFound, "lease not found") }

// held returns the Machine's lease while it lasts.
func (w *World) held(m *machine) *lease {
	if m.lease == nil || !w.now.Before(m.lease.expiresAt) {
		return nil
	}
	return m.lease
}

func (w *World) leaseView(m *machine) *Lease {
	l := w.held(m)
	if l == nil {
		return nil
	}
	return &Lease{Nonce: l.nonce, Owner: l.owner, Description: l.description, ExpiresAt: l.expiresAt, Version: m.instanceID}
}

// leaseAllows refuses a change by somebody else than the holder.
func (w *World) leaseAllows(m *machine, call Call) error {
	l := w.held(m)
	if l == nil || l.nonce == call.Nonce {
		return nil
	}
	return &LeasedError{
		Err: refuse(http.StatusConflict, "machine ID %s lease currently held by %s, expires at %s",
			m.id, l.owner, l.expiresAt.Format(time.RFC3339)),
		MachineID: m.id,
	}
}

func (w *World) newLease(m *machine, owner, description string, ttl time.Duration) *lease {
	l := &lease{nonce: w.opaque(12), owner: owner, description: description}
	w.extend(m, l, ttl)
	return l
}

// extend sets the lease's end, and wakes those who wait for it then.
func (w *World) extend(m *machine, l *lease, ttl time.Duration) {
	if ttl <= 0 {
		ttl = defaultLease
	}
	// The platform answers with whole seconds: the lease must not end before
	// the moment it told.
	l.expiresAt = w.now.Add(ttl).Add(time.Second - time.Nanosecond).Truncate(time.Second)
	w.after(l.expiresAt.Sub(w.now), m.wake)
}

// Lease returns the lease on a Machine.
func (w *World) Lease(appName, id string) (Lease, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.find(appName, id)
	if err != nil {
		return Lease{}, err
	}
	l := w.leaseView(m)
	if l == nil {
		return Lease{}, leaseNotFound()
	}
	return *l, nil
}

// AcquireLease takes the lease on a Machine, or, with its nonce in call,
// prolongs it. A ttl of 0 means the platform's default of 30 s.
func (w *World) AcquireLease(call Call, appName, id, description string, ttl time.Duration) (Lease, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := w.findToChange(appName, id)
	if err != nil {
		return Lease{}, err
	}
	if gone(m) || m.state == scale.StateDestroying {
		return Lease{}, machineNotFound()
	}
	if err := w.leaseAllows(m, call); err != nil {
		return Lease{}, err
	}
	switch l := w.held(m); {
	case l != nil:
		w.extend(m, l, ttl)
	case call.Nonce != "":
		return Lease{}, leaseNotFound()
	default:
		m.lease = w.newLease(m, call.Owner, description, ttl)
	}
	w.record("machine_lease_acquire", m.app, m, call)
	return *w.leaseView(m), nil
}

// ReleaseLease gives the lease on a Machine back.
func (w *World) ReleaseLease(call Call, appName, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.apps[appName]
	if !ok {
		return appNotFound()
	}
	// A Machine that is gone answers like one without a lease, because official
	// clients release after they destroyed.
	m := w.machines[id]
	if m == nil || m.app != a || w.held(m) == nil {
		return leaseNotFound()
	}
	if err := w.leaseAllows(m, call); err != nil {
		return err
	}
	m.lease = nil
	m.wake()
	w.record("machine_lease_release", m.app, m, call)
	return nil
}
