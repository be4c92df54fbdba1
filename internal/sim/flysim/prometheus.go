package flysim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// Prometheus is the managed metrics of the platform: PromQL over what a
// store holds, one organization at a time, under /prometheus/{org}/api/v1/. It
// evaluates with the engine of the Prometheus server, at the world's time when
// a request names none.
type Prometheus struct {
	world  *sim.World
	store  *sim.SeriesStore
	engine *promql.Engine
	parser parser.Parser
}

// Bounds of a query, those of a Prometheus server where it has some.
const (
	maxQueryTime    = 2 * time.Minute
	maxQuerySamples = 50_000_000
	maxQueryPoints  = 11_000
	maxQueryBody    = 1 << 20
	lookback        = 5 * time.Minute
)

// NewPrometheus returns the metrics face of a world whose series are recorded
// in store.
func NewPrometheus(world *sim.World, store *sim.SeriesStore) *Prometheus {
	language := parser.NewParser(parser.Options{})
	return &Prometheus{
		world:  world,
		store:  store,
		parser: language,
		engine: promql.NewEngine(promql.EngineOpts{
			MaxSamples:           maxQuerySamples,
			Timeout:              maxQueryTime,
			LookbackDelta:        lookback,
			EnableAtModifier:     true,
			EnableNegativeOffset: true,
			NoStepSubqueryIntervalFn: func(int64) int64 {
				return time.Minute.Milliseconds()
			},
			Parser: language,
		}),
	}
}

// Mount makes the metrics part of a platform's face, which checks the
// authorization of queries: the queries, and of the administration
// POST /_sim/gauge and GET /_sim/metrics.
func (p *Prometheus) Mount(h *Handler) {
	queries := http.NewServeMux()
	for path, serve := range map[string]func(*http.Request) (answer, error){
		"query":               p.query,
		"query_range":         p.queryRange,
		"series":              p.series,
		"labels":              p.labels,
		"label/{name}/values": p.labelValues,
	} {
		handler := p.handle(h, serve)
		queries.Handle("GET /prometheus/{org}/api/v1/"+path, handler)
		queries.Handle("POST /prometheus/{org}/api/v1/"+path, handler)
	}
	h.Mount("/prometheus/{org}/", OpPrometheusQuery, queries)
	h.MountAdmin("POST /_sim/gauge", http.HandlerFunc(p.serveGauge))
	h.MountAdmin("GET /_sim/metrics", http.HandlerFunc(p.serveMetrics))
}

// answer is what a request is answered with when nothing goes wrong.
type answer interface {
	// appendJSON appends the "data" of the answer.
	appendJSON(to []byte) []byte
}

// handle makes a handler of what computes an answer: it checks the request and
// lets faults strike.
func (p *Prometheus) handle(h *Handler, serve func(*http.Request) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := p.world.Org(r.PathValue("org")); err != nil {
			writeQueryError(w, &queryError{http.StatusNotFound, "not_found", err})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxQueryBody)
		if err := r.ParseForm(); err != nil {
			writeQueryError(w, badData(fmt.Errorf("error parsing form values: %w", err)))
			return
		}
		if p.strikeConnection(h, w, r) {
			return
		}
		result, err := serve(r)
		if err != nil {
			writeQueryError(w, err)
			return
		}
		if result = p.strikeResult(w, r, result); result == nil {
			return
		}
		body := append(result.appendJSON([]byte(`{"status":"success","data":`)), '}')
		writeRaw(w, http.StatusOK, "application/json", body)
	})
}

func (p *Prometheus) query(r *http.Request) (answer, error) {
	at, err := timeParam(r, "time", p.world.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := withTimeout(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	query, err := p.engine.NewInstantQuery(ctx, p.queryable(r), nil, r.FormValue("query"), at)
	return execute(ctx, query, err)
}

func (p *Prometheus) queryRange(r *http.Request) (answer, error) {
	start, err := timeParam(r, "start", time.Time{})
	if err != nil {
		return nil, err
	}
	end, err := timeParam(r, "end", time.Time{})
	if err != nil {
		return nil, err
	}
	if end.Before(start) {
		return nil, badParam("end", errors.New("end timestamp must not be before start time"))
	}
	step, err := parseDuration(r.FormValue("step"))
	if err != nil {
		return nil, badParam("step", err)
	}
	if step <= 0 {
		return nil, badParam("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if end.Sub(start)/step > maxQueryPoints {
		return nil, badData(fmt.Errorf("exceeded maximum resolution of %d points per timeseries. Try decreasing the query resolution (?step=XX)", maxQueryPoints))
	}
	ctx, cancel, err := withTimeout(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	query, err := p.engine.NewRangeQuery(ctx, p.queryable(r), nil, r.FormValue("query"), start, end, step)
	return execute(ctx, query, err)
}

// execute runs a query that was made with the given error.
func execute(ctx context.Context, query promql.Query, err error) (answer, error) {
	if err != nil {
		return nil, badParam("query", err)
	}
	// The result shares memory with the query, and is copied before it is closed.
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	return newQueryResult(result.Value)
}

func (p *Prometheus) queryable(r *http.Request) queryable {
	return queryable{store: p.store, org: r.PathValue("org")}
}

// withTimeout bounds a request by its parameter "timeout".
func withTimeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	text := r.FormValue("timeout")
	if text == "" {
		ctx, cancel := context.WithCancel(r.Context())
		return ctx, cancel, nil
	}
	timeout, err := parseDuration(text)
	if err != nil {
		return nil, nil, badParam("timeout", err)
	}
	if timeout <= 0 {
		return nil, nil, badParam("timeout", fmt.Errorf("timeout must be positive, got %v", timeout))
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}

// timeParam returns a parameter that is a time: Unix seconds with a fraction, or
// RFC 3339. Without a default it is required.
func timeParam(r *http.Request, name string, absent time.Time) (time.Time, error) {
	text := r.FormValue(name)
	if text == "" && !absent.IsZero() {
		return absent, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < math.MaxInt64/1e9 {
		return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	return time.Time{}, badParam(name, fmt.Errorf("cannot parse %q to a valid timestamp", text))
}

// parseDuration reads seconds with a fraction, or a duration such as 1m30s.
func parseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(math.Abs(seconds) < math.MaxInt64/1e9) {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", text)
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("cannot parse %q to a valid duration", text)
	}
	return time.Duration(d), nil
}
