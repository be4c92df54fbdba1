package decide

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// limits evaluates the target's expressions.
func limits(p *policy.Policy, samples []scale.Sample, env expr.Env) scale.Limits {
	l := scale.Limits{MinCreated: evaluate(p.MinCreated, samples, env), MinStarted: evaluate(p.MinStarted, samples, env)}
	// An exact count is one expression as both limits: asked once, told once.
	l.MaxCreated, l.MaxStarted = l.MinCreated, l.MinStarted
	if p.MaxCreated != p.MinCreated {
		l.MaxCreated = evaluate(p.MaxCreated, samples, env)
	}
	if p.MaxStarted != p.MinStarted {
		l.MaxStarted = evaluate(p.MaxStarted, samples, env)
	}
	return l
}

func evaluate(program *expr.Program, samples []scale.Sample, env expr.Env) scale.Limit {
	if program == nil {
		return scale.Limit{}
	}
	l := scale.Limit{Defined: true, Source: program.String()}
	r, err := program.Run(env)
	if err != nil {
		l.Reason = unknownReason(err, samples)
		return l
	}
	l.Known, l.Value, l.Demand, l.Young = true, r.Count(), r.Value, r.Young
	return l
}

// unknownReason tells why an expression has no value; for a metric that is not
// known, in the words of its source.
func unknownReason(err error, samples []scale.Sample) string {
	unknown, ok := errors.AsType[*expr.UnknownMetricError](err)
	if !ok {
		return err.Error()
	}
	for _, s := range samples {
		if s.Metric == unknown.Name && s.Reason != "" {
			return fmt.Sprintf("%s is %s: %s", s.Metric, s.Quality, s.Reason)
		}
	}
	return err.Error()
}

// targets moves the count into the limits. A floor wins over a ceiling below it,
// so that the two never pull in turns. A limit that is not known asks for
// nothing; safety sees to it that it allows nothing either. More says what else the
// limits rest on than the expressions.
func targets(d *scale.Decision, more string) {
	reason := targetsReason(d)
	if more != "" {
		reason += "; " + more
	}
	step(d, scale.StageTargets, moved(d), reason)
}

// moved returns what there is, moved into the limits.
func moved(d *scale.Decision) scale.Count {
	return scale.Count{
		Created: within(d.Have.Created, d.Within.MinCreated, d.Within.MaxCreated),
		Started: within(d.Have.Started, d.Within.MinStarted, d.Within.MaxStarted),
	}
}

func within(n int, lo, hi scale.Limit) int {
	if hi.Known {
		n = min(n, hi.Value)
	}
	if lo.Known {
		n = max(n, lo.Value)
	}
	return n
}

// targetsReason names the limits in force with the values they come from. Every
// pass over every target says this: it is written without formatting verbs.
func targetsReason(d *scale.Decision) string {
	text := make([]byte, 0, 128)
	text = appendLimits(text, "created", d.Limits.MinCreated, d.Limits.MaxCreated)
	text = appendLimits(text, "started", d.Limits.MinStarted, d.Limits.MaxStarted)
	before := " with "
	for _, s := range d.Samples {
		if s.Known() {
			text = append(text, before...)
			text = append(text, s.Metric...)
			text = append(text, ' ')
			text = strconv.AppendFloat(text, s.Value, 'g', 6, 64)
			before = ", "
		}
	}
	return string(text)
}

func appendLimits(text []byte, what string, lo, hi scale.Limit) []byte {
	if lo == hi {
		return appendLimit(text, what, "", lo)
	}
	return appendLimit(appendLimit(text, what, " min", lo), what, " max", hi)
}

func appendLimit(text []byte, what, bound string, l scale.Limit) []byte {
	if !l.Defined {
		return text
	}
	if len(text) > 0 {
		text = append(text, ", "...)
	}
	text = append(text, what...)
	text = append(text, bound...)
	text = append(text, ' ')
	text = append(text, l.Source...)
	if l.Known {
		text = append(text, " = "...)
		return strconv.AppendInt(text, int64(l.Value), 10)
	}
	text = append(text, " is unknown ("...)
	text = append(text, l.Reason...)
	return append(text, ')')
}
