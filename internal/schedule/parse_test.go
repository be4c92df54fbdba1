package schedule_test

import (
	"testing"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/schedule"
)

// A window that was written and read opens and closes when it did.
func TestParse(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for _, w := range []schedule.Window{
		cron(t, "0 8 * * 1-5", 10*time.Hour, berlin),
		cron(t, "*/15 8-18/2 1,15 jan mon", 90*time.Second, time.UTC),
		weekly(t, "mon-fri", "08:00", "18:30", berlin),
		weekly(t, "sat,sun", "22:00", "06:00", time.UTC),
		weekly(t, "sun-sat", "00:00", "24:00", zone(t, "America/New_York")),
	} {
		got, err := schedule.Parse(w.String())
		if err != nil {
			t.Errorf("read %q: %v", w, err)
			continue
		}
		if got.String() != w.String() {
			t.Errorf("%q is read as %q", w, got)
		}
		for at := noon; at.Before(noon.AddDate(0, 0, 9)); at = at.Add(7 * time.Minute) {
			active, until := w.Active(at)
			if again, untilAgain := got.Active(at); again != active || !untilAgain.Equal(until) {
				t.Fatalf("%q at %s: %t until %s, and once written and read %t until %s", w, at, active, until, again, untilAgain)
			}
		}
	}
	for _, bad := range []string{
		"", "UTC", "mon 08:00-09:00", "mon 08:00-09:00 Nowhere/Atall", "mon 08:00 UTC", "mon 08:00-08:00 UTC", "who 08:00-09:00 UTC",
		"0 8 * * for 1h UTC", "0 8 * * 1 for 1 UTC", "0 8 * * 1 for 1s UTC", "0 8 * * 1 for 10000h UTC",
	} {
		if w, err := schedule.Parse(bad); err == nil {
			t.Errorf("%q is read as %q", bad, w)
		}
	}
}

var noon = time.Date(2026, 3, 25, 12, 0, 0, 0, time.UTC) // a few days before the clocks change in Europe
