package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// demoScreen shows the story of the demo.
type demoScreen interface {
	draw(s *demoStory, now time.Time)
	// end shows how the story came out, below all else.
	end(s *demoStory, now time.Time, verdict string)
}

// newDemoScreen returns a picture where standard output is a terminal that can
// show it, and else lines.
func newDemoScreen(env environment) demoScreen {
	plain := &plainScreen{out: env.stdout, second: -1}
	file, ok := env.stdout.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || variableValue(env.environ, "TERM") == "dumb" {
		return plain
	}
	if width, height, err := term.GetSize(int(file.Fd())); err != nil || width < demoLeastWidth || height < demoLeastHeight {
		return plain
	}
	return &liveScreen{out: file, colours: variableValue(env.environ, "NO_COLOR") == ""}
}

// The picture fits a terminal of the usual size, and is not shown on one that is
// much smaller.
const (
	demoWidth       = 80
	demoHeight      = 24
	demoLeastWidth  = 60
	demoLeastHeight = 18
)

// liveScreen redraws a picture in place.
type liveScreen struct {
	out     *os.File
	colours bool
	drawn   int // lines above the cursor that are ours
}

func (l *liveScreen) draw(s *demoStory, now time.Time) {
	width, height, err := term.GetSize(int(l.out.Fd()))
	if err != nil {
		width, height = demoWidth, demoHeight
	}
	// One column and one row are left to the cursor.
	lines := drawDemo(s, now, min(width, demoWidth)-1, min(height, demoHeight)-1, l.colours)
	var b bytes.Buffer
	if up := min(l.drawn, height-1); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	for _, line := range lines {
		b.WriteString("\r" + line + "\x1b[K\n")
	}
	b.WriteString("\r\x1b[J")
	l.drawn = len(lines)
	// A picture that cannot be written cannot be reported there either.
	_, _ = l.out.Write(b.Bytes())
}

func (l *liveScreen) end(s *demoStory, now time.Time, verdict string) {
	l.draw(s, now)
	fmt.Fprintln(l.out, "\n"+verdict)
}

// plainScreen prints a line each second, and each event when it happens.
type plainScreen struct {
	out    io.Writer
	second int
	told   int
}

func (p *plainScreen) draw(s *demoStory, now time.Time) {
	for _, e := range tail(s.events, s.told-p.told) {
		fmt.Fprintln(p.out, e)
	}
	p.told = s.told
	if second := int(now.Sub(s.start) / time.Second); second > p.second && s.seen {
		p.second = second
		fmt.Fprintln(p.out, demoLine(s, now))
	}
}

func (p *plainScreen) end(s *demoStory, now time.Time, verdict string) {
	p.draw(s, now)
	fmt.Fprintln(p.out, "\n"+verdict)
}
