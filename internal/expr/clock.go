package expr

import (
	"errors"
	"fmt"
	"time"

	"github.com/expr-lang/expr/ast"
)

var errNoTime = errors.New("the time is not told")

// timeIn returns the operation of a function of the time of day in a zone.
func timeIn(zone *time.Location, of func(time.Time) int) operation {
	return func(f *frame) (value, error) {
		if f.now.IsZero() {
			return value{}, errNoTime
		}
		return num(float64(of(f.now.In(zone)))), nil
	}
}

// weekday counts from 1 for Monday to 7 for Sunday, as ISO 8601 and cron's newer
// dialects do, so that Monday to Friday is weekday() <= 5.
func weekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

// clock builds a call of a function of the time.
func (b *builder) clock(f function, args []ast.Node) operation {
	b.time = true
	if len(args) == 0 {
		return timeIn(time.UTC, f.part)
	}
	text, ok := args[0].(*ast.StringNode)
	if !ok {
		return b.fail(args[0], f.name+" takes the name of a time zone", "write "+f.usage)
	}
	// The library has two names of its own: "" for UTC, and "Local", which would give
	// each computer an answer of its own.
	zone, err := time.LoadLocation(text.Value)
	if err != nil || text.Value == "" || text.Value == "Local" {
		return b.fail(args[0], fmt.Sprintf("%q is not a time zone", text.Value), `want an IANA name, such as "Europe/Berlin" or "UTC"`)
	}
	return timeIn(zone, f.part)
}
