package expr_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
)

func TestStaffing(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]float64{
		// A textbook's call centre: 100 calls in half an hour, of three minutes each, and
		// 20 s to answer. Thirteen agents do so for 79.5 % of the calls, fourteen for 88.8 %.
		"erlang_c(100 / 1800, 180, 20, 0.79)":    13,
		"erlang_c(100 / 1800, 180, 20, 0.8)":     14,
		"erlang_c(100 / 1800, 180, 20, 0.88)":    14,
		"erlang_c(100 / 1800, 180, 20, 0.89)":    15,
		"erlang_c(0, 180, 20, 0.8)":              0,
		"erlang_c(1e-200, 1e-200, 0, 0.9)":       0,
		"erlang_c(5e-324, 1, 0, 0.9)":            1,
		"erlang_c(0.0001, 1, 0, 0.9)":            1,
		"erlang_c(10, 1, 0, 0)":                  11, // with ten the queue grows without end
		"erlang_c(9.999, 1, 1e9, 0.99)":          10,
		"erlang_c(q, 0.2, 0.1, 0.95)":            4,
		"min(50, erlang_c(1e9, 1, 1, 0.9))":      50, // more than there can be
		"min(50, erlang_c(q / zero, 1, 1, 0.9))": 50,
		"erlang_c(100000, 1, 0.01, 0.99)":        100_313,

		"drain(120, 2, 60)":                           4,
		"drain(121, 2, 60)":                           5,
		"drain(30, 0.1, 1)":                           3, // 30 × 0.1 is a hair above 3
		"drain(0, 2, 60)":                             0,
		"drain(neg, 2, 60)":                           0,
		"drain(1, 1, 3600)":                           1,
		"drain(q, 0, 60)":                             0,
		"min(50, drain(q / zero, 2, 60))":             50,
		"started + drain(q, 600, 300) + drain(1,1,1)": 19,
	} {
		if got, err := mustCompile(t, src).Run(expr.Env{Metrics: readings, Counts: counts}); err != nil || got.Value != want {
			t.Errorf("%s: got %+v, %v, want %g", src, got, err, want)
		}
	}
	for src, want := range map[string]string{
		"erlang_c(neg, 1, 1, 0.9)":                                 "erlang_c has arrivals of -2.5, below 0",
		"erlang_c(1, 0, 1, 0.9)":                                   "erlang_c has a service time of 0, not above 0",
		"erlang_c(1, 1, neg, 0.9)":                                 "erlang_c has a wait of -2.5, below 0",
		"erlang_c(1, 1, 1, q)":                                     "erlang_c has a share of 7, not from 0 to below 1",
		"erlang_c(1, 1, 1, neg)":                                   "erlang_c has a share of -2.5, not from 0 to below 1",
		"erlang_c(1e9, 1, 1, 0.9)":                                 "the result is +Inf",
		"drain(q, neg, 1)":                                         "drain has a service time of -2.5, below 0",
		"drain(q, 1, zero)":                                        "drain has a time of 0, not above 0",
		"erlang_c(gone, 1, 1, 0.9)":                                "metric gone has no reading",
		"drain(q / zero, zero, 1)":                                 "drain[+Inf 0 1] has no value",
		"erlang_c(q / zero, 1 / q / zero, 1, 0.9) / (zero / zero)": "0 / 0 has no value",
	} {
		if got, err := mustCompile(t, src).Run(expr.Env{Metrics: readings, Counts: counts}); err == nil || err.Error() != want {
			t.Errorf("%s: got %+v, %v, want error %q", src, got, err, want)
		}
	}
	for src, want := range map[string]string{
		"erlang_c(q, 1, 1, 95)":                   "1:1: the share is 95, not from 0 to below 1, 95 percent is 0.95",
		"erlang_c(q, 1, 1, 1)":                    "1:1: the share is 1, not from 0 to below 1, 95 percent is 0.95",
		`erlang_c(q, "200ms", 1, 0.9)`:            "1:13: text is not part of the language, which is about numbers, write seconds: 0.2",
		"erlang_c(q, 1, 1)":                       "1:1: erlang_c takes 4 arguments, not 3",
		"let within = 60; drain(q, 1, w, within)": "1:18: drain takes 3 arguments, not 4",
	} {
		if _, err := expr.Compile(src, declared); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", src, err, want)
		}
	}
}

// wait is the probability of waiting longer than t with c servers, by the definition
// with powers and factorials, to 200 bits.
func wait(arrivals, serviceTime, t float64, c int) float64 {
	float := func(x float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(x) }
	load := float(0).Mul(float(arrivals), float(serviceTime))
	term, below := float(1), float(0) // term is load^k/k!
	for k := range c {
		below.Add(below, term)
		term.Mul(term, load).Quo(term, float(float64(k+1)))
	}
	rest := float(0).Sub(float(float64(c)), load)
	if rest.Sign() <= 0 {
		return 1
	}
	term.Mul(term, float(float64(c))).Quo(term, rest)
	p, _ := float(0).Quo(term, below.Add(below, term)).Float64()
	idle, _ := rest.Float64()
	return p * math.Exp(-idle*t/serviceTime)
}

// The result is the least count that the definition allows, but for counts whose
// share is within rounding of what is asked for.
func TestErlangDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		arrivals, serviceTime := rapid.Float64Range(0.001, 200).Draw(t, "arrivals"), rapid.Float64Range(0.001, 2).Draw(t, "service time")
		maxWait, share := rapid.Float64Range(0, 5).Draw(t, "wait"), rapid.Float64Range(0, 0.9999).Draw(t, "share")
		n := erlang(t, arrivals, serviceTime, maxWait, share)
		if p := wait(arrivals, serviceTime, maxWait, n); p > 1-share+1e-9 || float64(n) <= arrivals*serviceTime {
			t.Fatalf("with %d a share of %g waits longer, more than %g", n, p, 1-share)
		}
		if fewer := float64(n - 1); fewer > arrivals*serviceTime {
			if p := wait(arrivals, serviceTime, maxWait, n-1); p < 1-share-1e-9 {
				t.Fatalf("with %d already only %g waits longer, of %g", n-1, p, 1-share)
			}
		}
	})
}

// Large loads too, for which only the last steps of the recursion are made.
func TestErlangOfLargeLoads(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ load, maxWait, share float64 }{
		{143, 0, 0.9}, {144.5, 0, 0.9}, {145, 0.5, 0.5}, {150, 0, 0.999999}, {1000, 0, 0}, {1000.25, 0.01, 0.95}, {20_000, 0, 0.01}, {20_000, 0.001, 0.99},
	} {
		r, err := mustCompile(t, fmt.Sprintf("erlang_c(%g, 1, %g, %g)", test.load, test.maxWait, test.share)).Run(expr.Env{})
		if err != nil {
			t.Fatal(err)
		}
		n := r.Count()
		if p := wait(test.load, 1, test.maxWait, n); p > 1-test.share {
			t.Errorf("%+v: with %d a share of %g waits longer", test, n, p)
		}
		if p := wait(test.load, 1, test.maxWait, n-1); p <= 1-test.share && test.load < float64(n-1) {
			t.Errorf("%+v: with %d already only %g waits longer", test, n-1, p)
		}
	}
}

// More arrivals, longer service, less patience or a greater share never need fewer.
func TestErlangMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		arrivals, serviceTime := rapid.Float64Range(0, 5000).Draw(t, "arrivals"), rapid.Float64Range(0.01, 10).Draw(t, "service time")
		maxWait, share := rapid.Float64Range(0, 100).Draw(t, "wait"), rapid.Float64Range(0, 0.99).Draw(t, "share")
		more := rapid.Float64Range(1.001, 3).Draw(t, "more")
		n := erlang(t, arrivals, serviceTime, maxWait, share)
		for what, least := range map[string]int{
			"arrivals":     erlang(t, arrivals*more, serviceTime, maxWait, share),
			"service time": erlang(t, arrivals, serviceTime*more, maxWait, share),
			"wait":         erlang(t, arrivals, serviceTime, maxWait/more, share),
			"share":        erlang(t, arrivals, serviceTime, maxWait, 1-(1-share)/more),
		} {
			if least < n {
				t.Fatalf("%d, and with a harder %s %d", n, what, least)
			}
		}
		if floor := erlang(t, arrivals, serviceTime, 1e6, 0); arrivals > 0 && (n < floor || floor != int(arrivals*serviceTime)+1) {
			t.Fatalf("%d, where stability alone needs %d for a load of %g", n, floor, arrivals*serviceTime)
		}
	})
}

func erlang(t *rapid.T, arrivals, serviceTime, maxWait, share float64) int {
	p := mustCompileIn(t, fmt.Sprintf("erlang_c(%g, %g, %g, %g)", arrivals, serviceTime, maxWait, share))
	r, err := p.Run(expr.Env{})
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	return r.Count()
}

// The queue is done in time with so many, and not with one fewer.
func TestDrainDefinition(t *testing.T) {
	t.Parallel()
	p, err := expr.Compile("drain(q, w, zero)", declared)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		queue := float64(rapid.IntRange(0, 10_000).Draw(t, "queue"))
		serviceTime, within := rapid.Float64Range(0.001, 100).Draw(t, "service time"), rapid.Float64Range(1, 3600).Draw(t, "within")
		r, err := p.Run(expr.Env{Metrics: map[string]float64{"q": queue, "w": serviceTime, "zero": within}})
		if err != nil {
			t.Fatal(err)
		}
		n, work := r.Value, queue*serviceTime
		if n*within < work*(1-2e-9) || n > 0 && (n-1)*within >= work {
			t.Fatalf("got %g for %g seconds of work within %g", n, work, within)
		}
	})
	if _, err := p.Run(expr.Env{}); err == nil {
		t.Error("got a value of unknown metrics")
	} else if _, ok := errors.AsType[*expr.UnknownMetricError](err); !ok {
		t.Errorf("got %v, want an UnknownMetricError", err)
	}
}
