package elasticity

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

//go:embed testdata/*.gz
var traces embed.FS

// Trace is how much came in each interval of a recorded workload.
type Trace struct {
	Began  time.Time
	Step   time.Duration
	Counts []int
}

// Jobs returns the recorded submissions of image-generation jobs, 21 days of them.
func Jobs() (Trace, error) {
	counts, err := readTrace("testdata/genai_jobs.txt.gz")
	return Trace{Began: time.Date(2024, 11, 18, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute, Counts: counts}, err
}

// Site returns the recorded requests of a web site over 27 days, quiet and noisy.
func Site() (Trace, error) {
	counts, err := readTrace("testdata/nasa_http.txt.gz")
	return Trace{Began: time.Date(1995, 7, 1, 4, 0, 0, 0, time.UTC), Step: time.Minute, Counts: counts}, err
}

// Balancer returns the recorded requests of a small load balancer over 14 days, with
// sudden peaks of ten times the usual.
func Balancer() (Trace, error) {
	counts, err := readTrace("testdata/elb_requests.txt.gz")
	return Trace{Began: time.Date(2014, 4, 10, 0, 0, 0, 0, time.UTC), Step: 5 * time.Minute, Counts: counts}, err
}

func readTrace(name string) ([]int, error) {
	raw, err := traces.ReadFile(name)
	if err != nil {
		return nil, err
	}
	lines, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	var counts []int
	scanner := bufio.NewScanner(lines)
	for scanner.Scan() {
		n, err := strconv.Atoi(scanner.Text())
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		counts = append(counts, n)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return counts, nil
}

// Days returns the given days of the trace, the first of which is 0.
func (t Trace) Days(first, n int) Trace {
	day := int(24 * time.Hour / t.Step)
	from := min(first*day, len(t.Counts))
	t.Began = t.Began.Add(time.Duration(from) * t.Step)
	t.Counts = t.Counts[from:min(from+n*day, len(t.Counts))]
	return t
}

// Span is how long the trace lasts.
func (t Trace) Span() time.Duration { return time.Duration(len(t.Counts)) * t.Step }

// job is one piece of work.
type job struct {
	arrived, takes time.Duration // since the trace began; and how long it takes
	waited         time.Duration // until it was begun first; -1 while it was not
}

// The times that jobs take are log-normal, with the mean and the deviation of the
// recorded ones.
const (
	meanService      = 28.9
	deviationService = 20.9
)

// work draws factor jobs for each of the trace: each comes at any moment of its interval
// alike. They are in the order in which they come.
func (t Trace) work(factor int, seed uint64) []job {
	rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a simulation is to be repeated
	variance := math.Log1p(deviationService * deviationService / (meanService * meanService))
	mu, sigma := math.Log(meanService)-variance/2, math.Sqrt(variance)
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	var jobs []job
	for i, n := range t.Counts {
		began := len(jobs)
		for range n * factor {
			jobs = append(jobs, job{
				arrived: time.Duration(i)*t.Step + seconds(rnd.Float64()*t.Step.Seconds()),
				takes:   seconds(math.Exp(mu + sigma*rnd.NormFloat64())),
				waited:  -1,
			})
		}
		slices.SortFunc(jobs[began:], func(a, b job) int { return int(a.arrived - b.arrived) })
	}
	return jobs
}
