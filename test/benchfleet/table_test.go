package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sample is two runs, of which the second failed early.
func sample() []result {
	ran := result{
		Apps: 10000, Variant: "together", Interval: 15, Setup: 1.218, Ready: new(2.5),
		Requests: map[string]float64{"org_machine_list": 2, "prometheus_query": 1.3333}, CPU: new(0.25),
		PeakMemory: new(int64(1500 << 20)), Mutations: 20000,
	}
	ran.delays([]time.Duration{16 * time.Second, 14500 * time.Millisecond, 2 * time.Second})
	ran.end(16*time.Second, 15*time.Second)
	return []result{ran, {Apps: 100, Variant: "separately", Error: "not ready within 2m0s"}}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := writeTable(&out, sample()); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
apps                            10,000          100
read and asked about          together   separately
set-up of the platform          1.22 s       0.00 s
ready after                     2.50 s            –
requests of a quiet cycle          3.3            –
  org_machine_list                   2            –
  prometheus_query                 1.3            –
CPU of a quiet cycle            0.25 s            –
peak of memory               1,500 MiB            –
step: requests that change      20,000            0
step to first start             2.00 s            –
step to median start           14.50 s            –
step to last start             16.00 s            –
last start after interval      +1.00 s            –
answered 429, whole run              0            0
all started                        yes           NO
`, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := writeJSON(&out, sample()); err != nil {
		t.Fatal(err)
	}
	var got []result
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got, cmpopts.IgnoreUnexported(result{})); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", 0.04: "0", 1.25: "1.2", 3000: "3,000", 1033.33: "1,033.3"} {
		if got := decimal(n); got != want {
			t.Errorf("decimal(%v) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[float64]string{-0.5: "-0.50 s", 0: "+0.00 s", 1.005: "+1.00 s"} {
		if got := signed(&n); got != want {
			t.Errorf("signed(%v) = %q, want %q", n, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	s, err := parse([]string{"-apps", "5,7", "-compare", "", "-quiet", "2"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		apps: []int{5, 7}, quiet: 2, settle: 75 * time.Second, interval: 15 * time.Second, latency: 30 * time.Millisecond, timeout: 2 * time.Minute, bin: "bin",
	}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(settings{})); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	for _, wrong := range [][]string{{"-apps", "x"}, {"-apps", "0"}, {"-quiet", "0"}, {"-interval", "0s"}, {"100"}} {
		var out, problem bytes.Buffer
		if code := run(t.Context(), wrong, &out, &problem); code != 2 || problem.Len() == 0 || out.Len() > 0 {
			t.Errorf("%v: status %d, output %q, problem %q", wrong, code, &out, &problem)
		}
	}
	var out, problem bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, &out, &problem); code != 0 || !strings.Contains(out.String(), "-compare") {
		t.Errorf("-help: status %d, output %q", code, &out)
	}
}
