package expr_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
)

// The time of day is that of the wall in the zone, on the days when clocks are
// changed too.
func TestClock(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		at, src string
		want    float64
	}{
		{"2026-07-01T22:30:00Z", `hour()`, 22},
		{"2026-07-01T22:30:59Z", `minute()`, 30},
		{"2026-07-01T22:30:00Z", `weekday()`, 3}, // a Wednesday
		{"2026-07-01T22:30:00Z", `hour("Europe/Berlin")`, 0},
		{"2026-07-01T22:30:00Z", `weekday("Europe/Berlin")`, 4},
		{"2026-07-01T22:30:00Z", `hour("UTC")`, 22},
		{"2026-01-01T22:30:00Z", `hour("Europe/Berlin")`, 23},
		{"2026-07-01T22:30:00Z", `minute("Asia/Kathmandu")`, 15},
		{"2026-07-05T23:59:59Z", `weekday()`, 7},
		{"2026-07-06T00:00:00Z", `weekday()`, 1},
		// Berlin goes from 2 to 3 on March 29 and back from 3 to 2 on October 25.
		{"2026-03-29T00:59:59Z", `hour("Europe/Berlin")`, 1},
		{"2026-03-29T01:00:00Z", `hour("Europe/Berlin")`, 3},
		{"2026-10-25T00:59:59Z", `hour("Europe/Berlin")`, 2},
		{"2026-10-25T01:00:00Z", `hour("Europe/Berlin")`, 2},
		{"2026-10-25T02:00:00Z", `hour("Europe/Berlin")`, 3},
		// New York goes on March 8, three weeks earlier than Berlin.
		{"2026-03-08T06:59:59Z", `hour("America/New_York")`, 1},
		{"2026-03-08T07:00:00Z", `hour("America/New_York")`, 3},
		{"2026-11-01T05:30:00Z", `hour("America/New_York")`, 1},
		{"2026-11-01T06:30:00Z", `hour("America/New_York")`, 1},
		// In Beirut midnight itself does not exist on March 29; on Lord Howe Island the
		// clock moves by half an hour.
		{"2026-03-28T21:59:59Z", `hour("Asia/Beirut")`, 23},
		{"2026-03-28T22:00:00Z", `hour("Asia/Beirut")`, 1},
		{"2026-03-28T22:00:00Z", `weekday("Asia/Beirut")`, 7},
		{"2026-04-04T14:59:00Z", `minute("Australia/Lord_Howe")`, 59},
		{"2026-04-04T15:00:00Z", `minute("Australia/Lord_Howe")`, 30},
		// Office hours.
		{"2026-07-03T15:59:00Z", `let h = hour("Europe/Berlin"); weekday("Europe/Berlin") <= 5 and h >= 8 and h < 18 ? 5 : 1`, 5},
		{"2026-07-03T16:00:00Z", `let h = hour("Europe/Berlin"); weekday("Europe/Berlin") <= 5 and h >= 8 and h < 18 ? 5 : 1`, 1},
		{"2026-07-04T10:00:00Z", `let h = hour("Europe/Berlin"); weekday("Europe/Berlin") <= 5 and h >= 8 and h < 18 ? 5 : 1`, 1},
	} {
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		for _, now := range []time.Time{at, at.In(time.FixedZone("", -9*60*60))} { // the zone of Now does not matter
			got, err := mustCompile(t, test.src).Run(expr.Env{Now: now})
			if err != nil || got.Value != test.want {
				t.Errorf("%s at %s: got %+v, %v, want %g", test.src, now, got, err, test.want)
			}
		}
	}
	if r, err := mustCompile(t, "hour()").Run(expr.Env{}); err == nil {
		t.Errorf("got %+v without a time", r)
	}
}

func TestClockCompileErrors(t *testing.T) {
	t.Parallel()
	const want = `want an IANA name, such as "Europe/Berlin" or "UTC"`
	for _, test := range []struct {
		src  string
		want expr.Error
	}{
		{`1 + hour("Europe/Bonn")`, expr.Error{9, 1, 10, `"Europe/Bonn" is not a time zone`, want}},
		{`hour("Local")`, expr.Error{5, 1, 6, `"Local" is not a time zone`, want}},
		{`hour("")`, expr.Error{5, 1, 6, `"" is not a time zone`, want}},
		{`hour("../../etc/passwd")`, expr.Error{5, 1, 6, `"../../etc/passwd" is not a time zone`, want}},
		{`hour("+02:00")`, expr.Error{5, 1, 6, `"+02:00" is not a time zone`, want}},
		{`weekday(2)`, expr.Error{8, 1, 9, "weekday takes the name of a time zone", `write weekday("Europe/Berlin")`}},
		{`minute("UTC", 1)`, expr.Error{0, 1, 1, "minute takes at most one argument, the time zone, not 2", `write minute("Europe/Berlin")`}},
	} {
		_, err := expr.Compile(test.src, declared)
		got, ok := errors.AsType[*expr.Error](err)
		if !ok {
			t.Errorf("%s: got %v, want an error", test.src, err)
			continue
		}
		if diff := cmp.Diff(test.want, *got); diff != "" {
			t.Errorf("%s: want -, got +\n%s", test.src, diff)
		}
	}
}
