package schedule_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/schedule"
)

var (
	_ policy.Window = (*schedule.Cron)(nil)
	_ policy.Window = (*schedule.Weekly)(nil)
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func cron(t testing.TB, expr string, length time.Duration, loc *time.Location) *schedule.Cron {
	t.Helper()
	e, err := schedule.ParseExpression(expr)
	if err != nil {
		t.Fatal(err)
	}
	return schedule.NewCron(e, length, loc)
}

func weekly(t testing.TB, days, from, to string, loc *time.Location) *schedule.Weekly {
	t.Helper()
	d, err := schedule.ParseDays(days)
	if err != nil {
		t.Fatal(err)
	}
	begin, err := schedule.ParseClock(from)
	if err != nil {
		t.Fatal(err)
	}
	end, err := schedule.ParseClock(to)
	if err != nil {
		t.Fatal(err)
	}
	w, err := schedule.NewWeekly(d, begin, end, loc)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestActive(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	office := weekly(t, "mon-fri", "08:00", "18:00", berlin)
	night := weekly(t, "sat", "22:00", "06:00", berlin)
	weekend := weekly(t, "fri-sun", "00:00", "24:00", time.UTC)
	always := weekly(t, "sun-sat", "00:00", "24:00", berlin)
	early := weekly(t, "sun-sat", "02:30", "03:30", berlin)
	skipped := weekly(t, "sun-sat", "02:00", "03:00", berlin)
	work := cron(t, "0 8 * * 1-5", 10*time.Hour, berlin)
	nightly := cron(t, "30 2 * * *", time.Hour, berlin)
	first := cron(t, "0 0 1 * *", 31*24*time.Hour, time.UTC)
	every := cron(t, "* * * * *", time.Minute, time.UTC)
	leap := cron(t, "0 12 29 feb *", time.Hour, time.UTC)
	thirteenth := cron(t, "0 0 13 * fri", time.Hour, time.UTC)
	for _, test := range []struct {
		window policy.Window
		now    string
		active bool
		until  string
	}{
		{office, "2026-03-02T07:59:59+01:00", false, "2026-03-02T08:00:00+01:00"}, // a Monday
		{office, "2026-03-02T08:00:00+01:00", true, "2026-03-02T18:00:00+01:00"},
		{office, "2026-03-02T17:59:59+01:00", true, "2026-03-02T18:00:00+01:00"},
		{office, "2026-03-02T18:00:00+01:00", false, "2026-03-03T08:00:00+01:00"},
		{office, "2026-03-27T18:00:00+01:00", false, "2026-03-30T08:00:00+02:00"},
		{night, "2026-03-29T05:00:00+02:00", true, "2026-03-29T06:00:00+02:00"}, // seven hours
		{night, "2026-03-29T06:00:00+02:00", false, "2026-04-04T22:00:00+02:00"},
		{night, "2026-10-24T22:00:00+02:00", true, "2026-10-25T06:00:00+01:00"}, // nine
		{weekend, "2026-03-06T00:00:00Z", true, "2026-03-09T00:00:00Z"},
		{always, "2026-03-06T00:00:00Z", true, ""},
		{early, "2026-03-29T00:00:00Z", false, "2026-03-29T03:00:00+02:00"},
		{early, "2026-03-29T01:00:00Z", true, "2026-03-29T03:30:00+02:00"},
		{early, "2026-10-25T02:30:00+02:00", true, "2026-10-25T02:00:00+01:00"},
		{early, "2026-10-25T02:00:00+01:00", false, "2026-10-25T02:30:00+01:00"},
		{skipped, "2026-03-28T03:00:00+01:00", false, "2026-03-30T02:00:00+02:00"},
		{skipped, "2026-10-25T02:00:00+02:00", true, "2026-10-25T03:00:00+01:00"},
		{work, "2026-03-27T18:00:00+01:00", false, "2026-03-30T08:00:00+02:00"},
		{work, "2026-03-30T08:00:00+02:00", true, "2026-03-30T18:00:00+02:00"},
		{nightly, "2026-03-29T01:59:59+01:00", false, "2026-03-29T03:00:00+02:00"},
		{nightly, "2026-03-29T03:59:59+02:00", true, "2026-03-29T04:00:00+02:00"},
		{nightly, "2026-10-25T02:30:00+02:00", true, "2026-10-25T03:30:00+01:00"},
		{first, "2026-03-09T00:00:00Z", true, ""}, // one into the next
		{every, "2026-03-09T00:00:00Z", true, ""},
		{leap, "2026-03-01T00:00:00Z", false, "2028-02-29T12:00:00Z"},
		{leap, "2096-03-01T00:00:00Z", false, "2104-02-29T12:00:00Z"},
		{thirteenth, "2026-03-07T00:00:00Z", false, "2026-03-13T00:00:00Z"},
		{thirteenth, "2026-03-13T01:00:00Z", false, "2026-03-20T00:00:00Z"},
		{thirteenth, "2026-04-11T00:00:00Z", false, "2026-04-13T00:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, test.now)
		if err != nil {
			t.Fatal(err)
		}
		active, until := test.window.Active(now)
		got := ""
		if !until.IsZero() {
			got = until.Format(time.RFC3339)
		}
		if active != test.active || got != test.until {
			t.Errorf("%s at %s: got %t until %s, want %t until %s", test.window, test.now, active, got, test.active, test.until)
		}
	}
}

// zones change their clocks in different ways: by an hour, by half of one, at
// midnight, in the other half of the year, by a whole day, and not at all.
var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo",
	"Pacific/Apia", "Africa/Casablanca", "Asia/Kathmandu", "America/St_Johns", "Europe/Dublin",
}

// span draws some months between 2010 and 2027.
func span(t *rapid.T) (from, to time.Time) {
	days := rapid.IntRange(0, 17*365).Draw(t, "first day")
	from = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, days)
	return from, from.AddDate(0, 0, rapid.IntRange(1, 120).Draw(t, "days"))
}

// compare walks minute by minute over what an obvious rule says, and holds against it
// what the window says whenever that should change, and sometimes between.
func compare(t *rapid.T, w policy.Window, from, to time.Time, rule func(time.Time) bool) {
	active, until := w.Active(from)
	if active != rule(from) {
		t.Fatalf("%s at %s: got %t", w, from, active)
	}
	spot := rapid.IntRange(1, 3000).Draw(t, "spot")
	for i, now := 1, from.Add(time.Minute); now.Before(to); i, now = i+1, now.Add(time.Minute) {
		if want := rule(now); want != active {
			if !until.Equal(now) {
				t.Fatalf("%s changes at %s, and not at %s", w, now, until)
			}
			active, until = w.Active(now)
			if active != want {
				t.Fatalf("%s at %s: got %t", w, now, active)
			}
			if before, _ := w.Active(now.Add(-time.Nanosecond)); before == want {
				t.Fatalf("%s is %t a nanosecond before %s", w, want, now)
			}
		} else if until.Equal(now) {
			t.Fatalf("%s should be %t from %s on", w, !active, now)
		}
		if i%spot == 0 {
			got, end := w.Active(now.Add(17 * time.Second))
			if got != active || !end.Equal(until) {
				t.Fatalf("%s at %s: got %t until %s, want %t until %s", w, now, got, end, active, until)
			}
		}
	}
}

func TestWeeklyEqualsClockOnTheWall(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		var days schedule.Days
		for i := range days {
			days[i] = rapid.Bool().Draw(t, "day")
		}
		begin := schedule.Clock(60 * rapid.IntRange(0, 24*60).Draw(t, "from"))
		end := schedule.Clock(60 * rapid.IntRange(0, 24*60).Draw(t, "to"))
		w, err := schedule.NewWeekly(days, begin, end, loc)
		if err != nil {
			return
		}
		from, to := span(t)
		compare(t, w, from, to, func(now time.Time) bool {
			local := now.In(loc)
			clock := schedule.Clock(local.Hour()*3600 + local.Minute()*60)
			today, yesterday := days[local.Weekday()], days[(local.Weekday()+6)%7]
			if begin < end {
				return today && begin <= clock && clock < end
			}
			return today && begin <= clock || yesterday && clock < end
		})
	})
}

func TestCronEqualsWalkOverMinutes(t *testing.T) {
	t.Parallel()
	part := func(t *rapid.T, what string, low, high int) (string, func(int) bool) {
		a, b := rapid.IntRange(low, high).Draw(t, what), rapid.IntRange(low, high).Draw(t, what)
		a, b = min(a, b), max(a, b)
		step := rapid.IntRange(1, high).Draw(t, what)
		switch rapid.IntRange(0, 5).Draw(t, what) {
		case 0:
			return fmt.Sprint(a), func(v int) bool { return v == a }
		case 1:
			return fmt.Sprintf("%d-%d", a, b), func(v int) bool { return a <= v && v <= b }
		case 2:
			return fmt.Sprintf("*/%d", step), func(v int) bool { return (v-low)%step == 0 }
		case 3:
			return fmt.Sprintf("%d-%d/%d", a, b, step), func(v int) bool { return a <= v && v <= b && (v-a)%step == 0 }
		case 4:
			return fmt.Sprintf("%d,%d", b, a), func(v int) bool { return v == a || v == b }
		}
		return "*", func(int) bool { return true }
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zones).Draw(t, "zone")
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		minutes, inMinutes := part(t, "minute", 0, 59)
		hours, inHours := part(t, "hour", 0, 23)
		dates, inDates := part(t, "date", 1, 31)
		months, inMonths := part(t, "month", 1, 12)
		days, inDays := part(t, "weekday", 0, 6)
		e, err := schedule.ParseExpression(strings.Join([]string{minutes, hours, dates, months, days}, " "))
		if err != nil {
			return // 31 February
		}
		length := time.Duration(rapid.SampledFrom([]int{1, 2, 59, 60, 61, 150, 600, 1440, 1500, 5000, 31 * 1440}).Draw(t, "length")) * time.Minute
		w := schedule.NewCron(e, length, loc)
		begins := func(wall time.Time) bool { // in UTC, showing what the clock shows
			d, wd := inDates(wall.Day()), inDays(int(wall.Weekday()))
			onDay := d && wd
			if dates[0] != '*' && days[0] != '*' {
				onDay = d || wd
			}
			return onDay && inMinutes(wall.Minute()) && inHours(wall.Hour()) && inMonths(int(wall.Month()))
		}
		wallOf := func(now time.Time) time.Time {
			_, offset := now.In(loc).Zone()
			return now.UTC().Add(time.Duration(offset) * time.Second)
		}
		from, to := span(t)
		var last time.Time // beginning
		clock := wallOf(from.Add(-length - time.Minute))
		step := func(now time.Time) {
			for next := wallOf(now); clock.Before(next); {
				clock = clock.Add(time.Minute)
				if begins(clock) {
					last = now
				}
			}
			if clock = wallOf(now); begins(clock) {
				last = now
			}
		}
		for now := from.Add(-length); now.Before(from); now = now.Add(time.Minute) {
			step(now)
		}
		// A chain of windows that is too long to follow has no end, which is no claim.
		if active, until := w.Active(from); active && until.IsZero() {
			return
		}
		compareCron(t, w, from, to, func(now time.Time) bool {
			step(now)
			return !last.IsZero() && now.Sub(last) < length
		})
	})
}

// compareCron is compare for windows whose end may not be told.
func compareCron(t *rapid.T, w policy.Window, from, to time.Time, rule func(time.Time) bool) {
	active, until := w.Active(from)
	for now := from; now.Before(to); now = now.Add(time.Minute) {
		want := rule(now)
		if want == active && !until.Equal(now) {
			continue
		}
		if want == active || !until.IsZero() && !until.Equal(now) {
			t.Fatalf("%s: at %s want %t, got %t until %s", w, now, want, active, until)
		}
		active, until = w.Active(now)
		if active != want {
			t.Fatalf("%s at %s: got %t", w, now, active)
		}
		if before, _ := w.Active(now.Add(-time.Nanosecond)); before == want && now.After(from) {
			t.Fatalf("%s is %t a nanosecond before %s", w, want, now)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	expression := func(s string) error { _, err := schedule.ParseExpression(s); return err }
	days := func(s string) error { _, err := schedule.ParseDays(s); return err }
	clock := func(s string) error { _, err := schedule.ParseClock(s); return err }
	for _, test := range []struct {
		parse  func(string) error
		text   string
		offset int
		want   string
	}{
		{expression, "0 8 * *", 0, `not five fields but 4, want minute, hour, day of the month, month and day of the week, such as "0 8 * * 1-5"`},
		{expression, "@daily", 0, `not five fields but 1, want minute, hour, day of the month, month and day of the week, such as "0 8 * * 1-5"`},
		{expression, "60 8 * * *", 0, `"60" is not a minute, want a number from 0 to 59`},
		{expression, "0  24 * * *", 3, `"24" is not an hour, want a number from 0 to 23`},
		{expression, "0 8 0 * *", 4, `"0" is not a day of the month, want a number from 1 to 31`},
		{expression, "0 8 * * mon-fry", 12, `"fry" is not a day of the week, want a number from 0 to 7, or sun to sat`},
		{expression, "0 8,9,x * * *", 6, `"x" is not an hour, want a number from 0 to 23`},
		{expression, "0 22-6 * * *", 2, "the range 22-6 goes backwards, write it as two: 22-23,0-6"},
		{expression, "*/0 * * * *", 2, `"0" is not a step, want a number from 1 to 59`},
		{expression, "5/15 * * * *", 0, "5/15 has a step and no range, want 5-59/15"},
		{expression, "0 0 30 feb *", 4, "there is no such day, look at the day of the month and the month"},
		{expression, "0 0 , * *", 4, `"" is not a day of the month, want a number from 1 to 31`},
		{days, "mon,fry", 4, `"fry" is not a day of the week, want sun, mon, tue, wed, thu, fri or sat, as in mon-fri`},
		{days, "", 0, `"" is not a day of the week, want sun, mon, tue, wed, thu, fri or sat, as in mon-fri`},
		{days, "mon-", 4, `"" is not a day of the week, want sun, mon, tue, wed, thu, fri or sat, as in mon-fri`},
		{clock, "8:00", 0, `"8:00" is not a time of day, want hours and minutes from "00:00" to "24:00"`},
		{clock, "24:01", 0, `"24:01" is not a time of day, want hours and minutes from "00:00" to "24:00"`},
		{clock, "08:60", 0, `"08:60" is not a time of day, want hours and minutes from "00:00" to "24:00"`},
	} {
		err := test.parse(test.text)
		e, ok := errors.AsType[*schedule.Error](err)
		if !ok || e.Offset != test.offset || e.Error() != test.want {
			t.Errorf("%q: got %v at %d, want %s at %d", test.text, err, e.Offset, test.want, test.offset)
		}
	}
	if _, err := schedule.NewWeekly(schedule.Days{true}, 3600, 3600, time.UTC); err == nil {
		t.Error("an empty window is accepted")
	}
	if _, err := schedule.NewWeekly(schedule.Days{}, 3600, 7200, time.UTC); err == nil {
		t.Error("a window without days is accepted")
	}
}

// Names and numbers are the same, and what was written is told.
func TestWritten(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"0 0 * JAN-Mar sun", "0 0 * 1-3 0"},
		{"0 0 * * 7", "0 0 * * 0"},
		{"0 0 * * fri-7", "0 0 * * 0,5,6"},
	} {
		a, b := cron(t, pair[0], time.Hour, time.UTC), cron(t, pair[1], time.Hour, time.UTC)
		for now := time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC); now.Year() == 2026; now = now.Add(time.Hour) {
			activeA, untilA := a.Active(now)
			activeB, untilB := b.Active(now)
			if activeA != activeB || !untilA.Equal(untilB) {
				t.Fatalf("%s and %s differ at %s", a, b, now)
			}
		}
	}
	if got, want := cron(t, " 0  8 * * 1-5", 10*time.Hour, zone(t, "Europe/Berlin")).String(), "0 8 * * 1-5 for 10h0m0s Europe/Berlin"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := weekly(t, "sat-mon", "22:00", "06:30", time.UTC).String(), "sun,mon,sat 22:00-06:30 UTC"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0 8 * * 1-5", "*/15 0-23/2 1,15 jan-jun sun", "59 23 31 12 7", "mon-fri", "08:00", "0 0 29 2 *", "1-0 * * * *", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, err := range []error{
			func() error { _, err := schedule.ParseDays(text); return err }(),
			func() error { _, err := schedule.ParseClock(text); return err }(),
		} {
			if e, ok := errors.AsType[*schedule.Error](err); ok && (e.Offset < 0 || e.Offset > len(text)) {
				t.Fatalf("%q: offset %d", text, e.Offset)
			}
		}
		e, err := schedule.ParseExpression(text)
		if err != nil {
			if e, ok := errors.AsType[*schedule.Error](err); !ok || e.Offset < 0 || e.Offset > len(text) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := schedule.ParseExpression(e.String())
		if err != nil || again != e {
			t.Fatalf("%q and %q differ: %v", text, e, err)
		}
		w := schedule.NewCron(e, time.Hour, time.UTC)
		now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
		active, until := w.Active(now)
		if !until.IsZero() && !until.After(now) || !active && until.IsZero() {
			t.Fatalf("%s: got %t until %s", w, active, until)
		}
	})
}

func BenchmarkActive(b *testing.B) {
	loc := zone(b, "Europe/Berlin")
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for name, w := range map[string]policy.Window{
		"weekly": weekly(b, "mon-fri", "08:00", "18:00", loc), "cron": cron(b, "0 8 * * 1-5", 10*time.Hour, loc), "every-minute": cron(b, "* * * * *", time.Minute, loc),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w.Active(now)
			}
		})
	}
}
