package sim

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// OpenFunc opens a file that a specification names. Whoever loads the
// specification decides what a name is relative to.
type OpenFunc func(name string) (io.ReadCloser, error)

// FieldError is one value of a specification that cannot be used.
type FieldError struct {
	Path    string // where, such as "queue.arrivals.sine.period"
	Message string // what is wrong, and what would be right
}

// Error implements error.
func (e *FieldError) Error() string { return e.Path + ": " + e.Message }

// problems collects everything that is wrong with a specification.
type problems []error

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, &FieldError{Path: strings.TrimPrefix(path, "."), Message: fmt.Sprintf(format, args...)})
}

func (p *problems) err() error { return errors.Join(*p...) }

// ShapeSpec is a Shape in YAML. Exactly one field is set; a bare number is
// short for a constant.
type ShapeSpec struct {
	Constant *float64    `yaml:"constant,omitempty"`
	Steps    []StepPoint `yaml:"steps,omitempty"`
	Ramp     *RampSpec   `yaml:"ramp,omitempty"`
	Sine     *SineSpec   `yaml:"sine,omitempty"`
	Pulse    *PulseSpec  `yaml:"pulse,omitempty"`
	Trace    *TraceSpec  `yaml:"trace,omitempty"`
	Sum      []ShapeSpec `yaml:"sum,omitempty"`
}

// RampSpec is a Ramp in YAML.
type RampSpec struct {
	From  float64       `yaml:"from"`
	To    float64       `yaml:"to"`
	Start time.Duration `yaml:"start,omitempty"`
	Over  time.Duration `yaml:"over"`
}

// SineSpec is a Sine in YAML.
type SineSpec struct {
	Min    float64       `yaml:"min"`
	Max    float64       `yaml:"max"`
	Period time.Duration `yaml:"period"`
	Phase  time.Duration `yaml:"phase,omitempty"`
}

// PulseSpec is a Pulse in YAML.
type PulseSpec struct {
	Base  float64       `yaml:"base,omitempty"`
	Value float64       `yaml:"value"`
	At    time.Duration `yaml:"at"`
	For   time.Duration `yaml:"for"`
	Every time.Duration `yaml:"every,omitempty"`
}

// TraceSpec is a recorded trace in YAML: a file, or the CSV text itself.
type TraceSpec struct {
	File   string        `yaml:"file,omitempty"`
	CSV    string        `yaml:"csv,omitempty"`
	Speed  float64       `yaml:"speed,omitempty"` // default 1
	Scale  *float64      `yaml:"scale,omitempty"` // default 1
	Skip   time.Duration `yaml:"skip,omitempty"`
	Repeat bool          `yaml:"repeat,omitempty"`
	Smooth bool          `yaml:"smooth,omitempty"`
	Levels bool          `yaml:"levels,omitempty"`
}

// UnmarshalYAML implements yaml.Unmarshaler. Unknown keys are errors.
func (s *ShapeSpec) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		var value float64
		if err := node.Load(&value); err != nil {
			return err
		}
		*s = ShapeSpec{Constant: &value}
		return nil
	}
	type plain ShapeSpec // without this method, which would call itself
	return node.Load((*plain)(s), yaml.WithKnownFields())
}

func (s *ShapeSpec) count() int {
	n := 0
	for _, set := range []bool{
		s.Constant != nil, s.Steps != nil, s.Ramp != nil, s.Sine != nil, s.Pulse != nil, s.Trace != nil, s.Sum != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// Validate returns all that is wrong with the shape, as FieldErrors.
func (s *ShapeSpec) Validate() error {
	var p problems
	s.check(&p, "", false)
	return p.err()
}

// check adds what is wrong. A rate must be finite and not negative at all
// times; a gauge may have any value, so that tests can make it NaN.
func (s *ShapeSpec) check(p *problems, path string, rate bool) {
	if n := s.count(); n != 1 {
		p.add(path, "%d shapes given, want exactly one of constant, steps, ramp, sine, pulse, trace, sum", n)
	}
	value := func(field string, v float64) {
		if rate && (v < 0 || math.IsNaN(v) || math.IsInf(v, 0)) {
			p.add(path+field, "%v is not a rate, want a finite number that is not negative", v)
		}
	}
	positive := func(field string, d time.Duration) {
		if d <= 0 {
			p.add(path+field, "%v is not a length of time, want more than 0s", d)
		}
	}
	if s.Constant != nil {
		value(".constant", *s.Constant)
	}
	for i, step := range s.Steps {
		value(fmt.Sprintf(".steps[%d].value", i), step.Value)
	}
	if r := s.Ramp; r != nil {
		value(".ramp.from", r.From)
		value(".ramp.to", r.To)
		positive(".ramp.over", r.Over)
	}
	if w := s.Sine; w != nil {
		value(".sine.min", w.Min)
		value(".sine.max", w.Max)
		positive(".sine.period", w.Period)
		if w.Min > w.Max {
			p.add(path+".sine.min", "%v is more than max %v", w.Min, w.Max)
		}
	}
	if u := s.Pulse; u != nil {
		value(".pulse.base", u.Base)
		value(".pulse.value", u.Value)
		positive(".pulse.for", u.For)
		if u.Every != 0 && u.Every <= u.For {
			p.add(path+".pulse.every", "%v is not longer than the pulse of %v", u.Every, u.For)
		}
	}
	if t := s.Trace; t != nil {
		if (t.File == "") == (t.CSV == "") {
			p.add(path+".trace", "want either file or csv")
		}
		if t.Speed < 0 || math.IsNaN(t.Speed) || math.IsInf(t.Speed, 0) {
			p.add(path+".trace.speed", "%v is not a speed, want a number above 0", t.Speed)
		}
		if t.Scale != nil {
			value(".trace.scale", *t.Scale)
		}
		if t.Skip < 0 {
			p.add(path+".trace.skip", "%v is negative", t.Skip)
		}
	}
	for i := range s.Sum {
		s.Sum[i].check(p, fmt.Sprintf("%s.sum[%d]", path, i), rate)
	}
}

// Build makes the shape. It opens trace files with open, which may be nil when
// there are none. The specification must be valid.
func (s *ShapeSpec) Build(open OpenFunc) (Shape, error) {
	switch {
	case s.Constant != nil:
		return Constant(*s.Constant), nil
	case s.Steps != nil:
		return Steps(s.Steps...), nil
	case s.Ramp != nil:
		return Ramp(s.Ramp.From, s.Ramp.To, s.Ramp.Start, s.Ramp.Over), nil
	case s.Sine != nil:
		return Sine(s.Sine.Min, s.Sine.Max, s.Sine.Period, s.Sine.Phase), nil
	case s.Pulse != nil:
		return Pulse(s.Pulse.Base, s.Pulse.Value, s.Pulse.At, s.Pulse.For, s.Pulse.Every), nil
	case s.Trace != nil:
		return s.Trace.build(open)
	}
	shapes := make([]Shape, len(s.Sum))
	for i := range s.Sum {
		shape, err := s.Sum[i].Build(open)
		if err != nil {
			return nil, err
		}
		shapes[i] = shape
	}
	return Sum(shapes...), nil
}

func (t *TraceSpec) build(open OpenFunc) (Shape, error) {
	how := Replay{Speed: cmp.Or(t.Speed, 1), Scale: 1, Skip: t.Skip, Repeat: t.Repeat, Smooth: t.Smooth, Levels: t.Levels}
	if t.Scale != nil {
		how.Scale = *t.Scale
	}
	var r io.Reader = strings.NewReader(t.CSV)
	name := "inline csv"
	if t.File != "" {
		name = t.File
		if open == nil {
			return nil, fmt.Errorf("open trace %s: files cannot be read here", name)
		}
		f, err := open(t.File)
		if err != nil {
			return nil, fmt.Errorf("open trace %s: %w", name, err)
		}
		defer func() { _ = f.Close() }() // opened for reading: nothing is lost when close fails
		r = f
	}
	trace, err := ReadTrace(r)
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", name, err)
	}
	return trace.Shape(how), nil
}
