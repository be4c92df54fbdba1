package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// style is how text looks on a terminal; the codes are those of ECMA-48.
type style string

const (
	styleNone   style = ""
	styleBold   style = "1"
	styleDim    style = "2"
	styleRed    style = "31"
	styleGreen  style = "32"
	styleYellow style = "33"
	styleBlue   style = "34"
)

// row is a line of the picture. What does not fit is cut off.
type row struct {
	text    strings.Builder
	width   int
	limit   int
	colours bool
}

// add writes text, each character of which is one column wide.
func (r *row) add(s style, format string, args ...any) *row {
	text := []rune(fmt.Sprintf(format, args...))
	text = text[:min(len(text), r.limit-r.width)]
	r.width += len(text)
	if s == styleNone || !r.colours || len(text) == 0 {
		r.text.WriteString(string(text))
	} else {
		fmt.Fprintf(&r.text, "\x1b[%sm%s\x1b[0m", s, string(text))
	}
	return r
}

// to moves on to a column.
func (r *row) to(column int) *row { return r.add(styleNone, "%*s", max(0, column-r.width), "") }

// demoGutter is the columns left of the charts.
const demoGutter = 18

// drawDemo draws the story in at most so many columns and rows.
func drawDemo(s *demoStory, now time.Time, width, height int, colours bool) []string {
	var lines []string
	newRow := func() *row { return &row{limit: width, colours: colours} }
	put := func(r *row) { lines = append(lines, strings.TrimRight(r.text.String(), " ")) }

	clock := elapsed(s, now)
	put(newRow().add(styleBold, " fly-autoscaler demo").add(styleNone, ": the real autoscaler, a simulated Fly.io").
		to(width-utf8.RuneCountInString(clock)).add(styleBold, "%s", clock))
	put(newRow().add(styleDim, " started = %s   created = %s", demoStarted, demoCreated))
	put(newRow())

	columns := min(demoHistory, width-demoGutter)
	for i, line := range chart(s.loads, columns, 4, 50) {
		r := newRow()
		if i == 0 {
			r.add(styleBold, " %-8s %5s", demoMetric, s.metric())
		}
		put(r.to(demoGutter).add(styleBlue, "%s", line))
	}
	put(newRow())
	labels := []struct {
		name  string
		count string
		style style
	}{{"started", fmt.Sprint(s.have.Started), styleBold}, {"wanted", s.wanted(s.want.Started), styleNone}, {"created", fmt.Sprint(s.have.Created), styleNone}}
	for i, line := range chart(s.starts, columns, len(labels), 10) {
		l := labels[i]
		put(newRow().add(l.style, " %-8s %5s", l.name, l.count).to(demoGutter).add(styleGreen, "%s", line))
	}
	put(newRow())
	put(regions(newRow(), s).to(width-33).add(styleGreen, "█").add(styleDim, " started  ").
		add(styleYellow, "▒").add(styleDim, " changing  ").add(styleNone, "░").add(styleDim, " stopped"))
	put(newRow())

	return append(lines, drawEvents(s.events, height-len(lines), newRow)...)
}

// metric and wanted tell a value, or that there is none yet.
func (s *demoStory) metric() string {
	if !s.known {
		return "–"
	}
	return fmt.Sprintf("%.0f", s.value)
}

func (s *demoStory) wanted(n int) string {
	if !s.decided {
		return "–"
	}
	return fmt.Sprint(n)
}

// elapsed tells the time, and how long it goes on.
func elapsed(s *demoStory, now time.Time) string {
	text := fmt.Sprintf("%ds", int(now.Sub(s.start)/time.Second))
	if s.length == 0 {
		return text + ", Ctrl-C ends"
	}
	return text + " of " + s.length.String()
}

// regions shows each Machine where it is.
func regions(r *row, s *demoStory) *row {
	r.add(styleNone, " ")
	for _, region := range s.regions {
		r.add(styleDim, "%s ", region.name).
			add(styleGreen, "%s", strings.Repeat("█", region.started)).
			add(styleYellow, "%s", strings.Repeat("▒", region.changing)).
			add(styleNone, "%s   ", strings.Repeat("░", region.stopped))
	}
	return r
}

// drawEvents shows the last events that fit, the oldest first.
func drawEvents(events []demoEvent, height int, newRow func() *row) []string {
	var lines []string
	for _, e := range slices.Backward(events) {
		paragraph := drawEvent(e, newRow)
		if len(lines)+len(paragraph) > height {
			break
		}
		lines = append(paragraph, lines...)
	}
	return lines
}

// demoIndent is the columns left of an event's text.
const demoIndent = 7

func drawEvent(e demoEvent, newRow func() *row) []string {
	head := e.head
	if e.reason != "" {
		head += ":"
	}
	colour := styleBold
	if e.alarm {
		colour = styleRed
	}
	r := newRow().add(styleDim, "%s", e.clock()).to(demoIndent).add(colour, "%s", head)
	var lines []string
	for word := range strings.FieldsSeq(e.reason) {
		if r.width+1+utf8.RuneCountInString(word) > r.limit && r.width > demoIndent {
			lines = append(lines, r.text.String())
			r = newRow().to(demoIndent - 1)
		}
		r.add(styleNone, " %s", word)
	}
	return append(lines, r.text.String())
}

// clock tells when the event happened.
func (e demoEvent) clock() string { return fmt.Sprintf("%4ds", int(e.at/time.Second)) }

// String tells the event in one line.
func (e demoEvent) String() string {
	text := e.clock() + "  " + e.head
	if e.alarm {
		text = e.clock() + "  warning: " + e.head
	}
	if e.reason != "" {
		text += ": " + e.reason
	}
	return text
}

// demoLine tells how things stand in one line.
func demoLine(s *demoStory, now time.Time) string {
	r := regions(&row{limit: math.MaxInt}, s)
	text := fmt.Sprintf("%4ds  %s %s, started %d of %s, created %d of %s ", int(now.Sub(s.start)/time.Second),
		demoMetric, s.metric(), s.have.Started, s.wanted(s.want.Started), s.have.Created, s.wanted(s.want.Created))
	return strings.TrimRight(text+r.text.String(), " ")
}

// eighths are the blocks from an eighth to the whole of a character's height.
var eighths = []rune("▁▂▃▄▅▆▇█")

// chart draws the last values as columns, top row first. Its height stands for
// the greatest value, but for no less than least. Zero is drawn as the lowest
// block.
func chart(values []float64, columns, rows int, least float64) []string {
	values = tail(values, columns)
	top := least
	for _, v := range values {
		top = max(top, v)
	}
	lines := make([]string, rows)
	for i := range lines {
		var b strings.Builder
		below := (rows - 1 - i) * len(eighths) // eighths in the rows below this one
		for _, v := range values {
			level := max(1, int(math.Round(v/top*float64(rows*len(eighths)))))
			switch n := min(level-below, len(eighths)); {
			case n <= 0:
				b.WriteByte(' ')
			default:
				b.WriteRune(eighths[n-1])
			}
		}
		lines[i] = b.String()
	}
	return lines
}
