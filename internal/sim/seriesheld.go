package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// heldGauge is a series whose value somebody set by hand. It wins over what a
// load or the platform says until it is released.
type heldGauge struct {
	key     sampleKey
	value   float64
	removed bool // the series is kept away instead
}

// SetGauge sets a series of an app by hand. The value, which may be NaN or
// infinite, is stored at once and again at each scrape, in place of what a load
// of the same name and labels says.
func (s *SeriesStore) SetGauge(now time.Time, org, app, metric string, set map[string]string, v float64) error {
	return s.hold(now, org, app, metric, set, heldGauge{value: v})
}

// RemoveGauge ends a series of an app and keeps it away, also when a load
// exports it.
func (s *SeriesStore) RemoveGauge(now time.Time, org, app, metric string, set map[string]string) error {
	return s.hold(now, org, app, metric, set, heldGauge{removed: true})
}

// ReleaseGauge undoes SetGauge and RemoveGauge: from the next scrape on, the
// series is what the app's loads say, or ends when they say nothing.
func (s *SeriesStore) ReleaseGauge(org, app, metric string, set map[string]string) error {
	if err := CheckSeries(metric, set); err != nil {
		return fmt.Errorf("release gauge of app %q: %w", app, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sampleKey{metric, labels.FromMap(set)}
	a := s.app(org, app)
	a.held = slices.DeleteFunc(a.held, func(h heldGauge) bool { return h.key == key })
	return nil
}

func (s *SeriesStore) hold(now time.Time, org, app, metric string, set map[string]string, h heldGauge) error {
	if err := CheckSeries(metric, set); err != nil {
		return fmt.Errorf("set gauge of app %q: %w", app, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tick(now)
	a := s.app(org, app)
	h.key = sampleKey{metric, labels.FromMap(set)}
	if old := a.heldGauge(h.key); old != nil {
		*old = h
	} else {
		a.held = append(a.held, h)
	}
	switch one := a.find(h.key); {
	case h.removed:
		s.end(one, t)
	default:
		s.write(a, one, t, h.value)
	}
	return nil
}

func (a *appSeries) heldGauge(key sampleKey) *heldGauge {
	for i := range a.held {
		if a.held[i].key == key {
			return &a.held[i]
		}
	}
	return nil
}
