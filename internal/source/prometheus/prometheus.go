package prometheus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// Kind is the name of this kind of source in configurations and errors.
const Kind = "prometheus"

// DefaultTimeout bounds a collection when the configuration does not.
const DefaultTimeout = 10 * time.Second

// concurrency bounds how many queries of one collection run at a time. Servers
// evaluate about as many as they have cores; more would only queue there.
const concurrency = 8

// Config describes one source.
type Config struct {
	// Metric is the declared name of the metric.
	Metric string

	// Address is the base URL of the server, without /api/v1. A user and
	// password in it are sent as basic authentication unless there is a Token.
	Address string

	// Query is the instant query. It may hold $APP_NAME; see Expand. Where Group
	// can rewrite it, it is asked once for many apps.
	Query string

	// GroupLabel, unless empty, says that Query has a row for every app, which
	// names the app in this label, as in "sum by (app) (queue_depth)". Such a
	// query does not hold $APP_NAME.
	GroupLabel string

	// MachineLabel, unless empty, says that Query has a row for every Machine, which
	// names the Machine in this label, as in "sum by (instance) (jobs_running)". The
	// sample has each Machine's value, and their sum. Rows without the label count for
	// nothing. Such a query is not rewritten for many apps; with a GroupLabel its rows
	// have both.
	MachineLabel string

	// Token is the credential. One that begins with "Fly", as the tokens of
	// Fly.io do together with their scheme, is sent as it is; one of Fly.io
	// without the scheme gets it; any other is sent as a bearer token. It goes to Address's host only, also when that redirects.
	Token scale.Secret

	// Timeout bounds one collection with all its queries; 0 is DefaultTimeout.
	Timeout time.Duration

	// MaxAge is how old a value may be when the server answers, by the time that
	// the answer gives it; 0 is any age. The server's clock counts when it tells
	// the date, else ours. An older value is a sample of quality Stale.
	MaxAge time.Duration

	// Transport carries the requests; nil is one of the source's own. A given
	// one is not closed.
	Transport http.RoundTripper

	// Logger hears of warnings in answers, once per change; nil is nobody.
	Logger *slog.Logger

	// Observe, unless nil, is told about every query: how long it took and how
	// it ended. The error is nil for a value, otherwise a *source.Error, which
	// wraps source.ErrEmpty when the answer was that there is no value. It is
	// called from several goroutines at once.
	Observe func(d time.Duration, err error)
}

// Source is a source.Source that sends instant queries to one server.
type Source struct {
	metric   string
	endpoint *url.URL // of the instant query, without credentials
	query    template
	machine  string // the label that names Machines; empty for one value for each app
	timeout  time.Duration
	maxAge   time.Duration // 0 is any
	header   http.Header   // Authorization, when there is a credential
	redact   source.Redactor
	client   *http.Client
	own      *http.Transport // nil when the configuration gave one
	logger   *slog.Logger
	observe  func(time.Duration, error)

	grouped Grouped // the query about many apps; of no use when perApp is set
	byLabel bool    // grouped is the user's own, and there is no query about one app

	useGet atomic.Bool // the server refuses POST

	apart *apart

	mu       sync.Mutex
	warnings map[scale.App][]string // last seen with an app, or with many: under ""; sorted; guarded by mu
	perApp   string                 // why every app is asked for by itself, or empty; guarded by mu
	checked  bool                   // the grouped query was seen to agree; guarded by mu
	turn     int                    // which app to check with; guarded by mu

	suspects   [][]scale.App // of which one may keep the server from answering; guarded by mu
	trustUntil time.Time     // until when nobody is suspected; guarded by mu
}

var _ source.Source = (*Source)(nil)

// New returns a source. It fails only on a configuration that cannot work; it
// does not touch the network, so that a server which is down at the start is
// met like one that goes down later.
func New(cfg Config) (*Source, error) {
	fail := func(err error) (*Source, error) {
		return nil, &source.Error{Kind: Kind, Metric: cfg.Metric, Err: err}
	}
	if cfg.Metric == "" {
		return fail(errors.New("metric has no name"))
	}
	if strings.TrimSpace(cfg.Query) == "" {
		return fail(errors.New("query is empty"))
	}
	if cfg.Timeout < 0 {
		return fail(fmt.Errorf("timeout %v is negative", cfg.Timeout))
	}
	if cfg.MaxAge < 0 {
		return fail(fmt.Errorf("maximum age %v is negative", cfg.MaxAge))
	}
	address, err := parseAddress(cfg.Address)
	if err != nil {
		return fail(err)
	}
	header, secrets, err := credentials(cfg.Token, address.User)
	if err != nil {
		return fail(err)
	}
	address.User = nil
	s := &Source{
		metric:   cfg.Metric,
		endpoint: address.JoinPath("api", "v1", "query"),
		query:    parseTemplate(cfg.Query),
		machine:  cfg.MachineLabel,
		timeout:  cfg.Timeout,
		maxAge:   cfg.MaxAge,
		header:   header,
		redact:   source.NewRedactor(secrets...),
		logger:   cfg.Logger,
		observe:  cfg.Observe,
		apart:    newApart(),
		warnings: map[scale.App][]string{},
	}
	if err := s.group(cfg); err != nil {
		return fail(err)
	}
	if s.timeout == 0 {
		s.timeout = DefaultTimeout
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.logger = s.logger.With("component", "source", "kind", Kind, "metric", cfg.Metric)
	if s.observe == nil {
		s.observe = func(time.Duration, error) {}
	}
	transport := cfg.Transport
	if transport == nil {
		s.own = newTransport()
		transport = s.own
	}
	s.client = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return s, nil
}

// Metric implements source.Source.
func (s *Source) Metric() string { return s.metric }

// Close implements source.Source.
func (s *Source) Close() error {
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
	return nil
}

// Collect implements source.Source. A query without the variable is asked once
// and its answer given to all apps. One with it is asked once for many apps where
// that is the same, else once for every app.
func (s *Source) Collect(ctx context.Context, apps []scale.App) map[scale.App]scale.Sample {
	switch {
	case len(apps) == 0 || !s.varies() || s.byLabel:
		return s.CollectTogether(ctx, apps)
	case len(apps) == 1:
		ctx, cancel := s.limit(ctx)
		defer cancel()
		var warnings warningSet
		defer func() { s.noteWarnings(ctx, apps[0], warnings.sorted()) }()
		return s.collectEach(ctx, apps, &warnings)
	}
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var warnings warningSet
	defer func() { s.noteWarnings(ctx, "", warnings.sorted()) }()
	apps = slices.Compact(slices.Sorted(slices.Values(apps)))
	spoilers := s.apart.names()
	many := without(apps, spoilers)
	var group sync.WaitGroup
	var alone map[scale.App]scale.Sample
	group.Go(func() { alone = s.collectEach(ctx, without(apps, many), &warnings) })
	samples := s.collectTogether(ctx, many, &warnings)
	left := slices.DeleteFunc(slices.Clone(many), func(app scale.App) bool {
		_, ok := samples[app]
		return ok
	})
	maps.Copy(samples, s.collectEach(ctx, left, &warnings))
	group.Wait()
	maps.Copy(samples, alone)
	return samples
}

// varies reports whether the answer is another for each app.
func (s *Source) varies() bool { return s.query.perApp() || s.byLabel }

// limit bounds a collection.
func (s *Source) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return withLimit(ctx, s.timeout)
}

// collectEach asks once for every app, a few at a time.
func (s *Source) collectEach(ctx context.Context, apps []scale.App, warnings *warningSet) map[scale.App]scale.Sample {
	return source.Each(ctx, apps, concurrency+lateConcurrency, func(ctx context.Context, app scale.App) scale.Sample {
		giveBack, err := s.apart.slot(ctx, app)
		if err != nil {
			return s.newSample(reading{}, err)
		}
		defer giveBack()
		deadline, _ := ctx.Deadline()
		beganLate := time.Until(deadline) < s.timeout/2
		r, err := s.ask(ctx, app, time.Time{}, warnings)
		s.apart.note(app, err, beganLate)
		return s.newSample(r, err)
	})
}

// sample asks the query about one app.
func (s *Source) sample(ctx context.Context, app scale.App, warnings *warningSet) scale.Sample {
	r, err := s.ask(ctx, app, time.Time{}, warnings)
	return s.newSample(r, err)
}

// ask asks the query about one app, as of a time unless that is zero.
func (s *Source) ask(ctx context.Context, app scale.App, at time.Time, warnings *warningSet) (reading, error) {
	began := time.Now()
	query, err := s.query.expand(app)
	var r reading
	if err == nil {
		r, err = s.fetch(ctx, query, at)
	}
	warnings.add(r.warnings)
	s.observe(time.Since(began), s.wrap(err))
	return r, err
}

// newSample makes a sample of a reading, which is of now when the server did not
// say.
func (s *Source) newSample(r reading, err error) scale.Sample {
	if r.at.IsZero() {
		r.at = time.Now()
	} else if age := r.answered.Sub(r.at); err == nil && s.maxAge > 0 && age > s.maxAge {
		err := s.wrap(fmt.Errorf("the value is %v old, which is more than %v", age.Round(time.Second), s.maxAge))
		return scale.Sample{Metric: s.metric, At: r.at, Quality: scale.Stale, Reason: source.Printable(err.Error(), source.MaxReason)}
	}
	sample := source.NewSample(s.metric, r.value, r.at, s.wrap(err))
	if sample.Known() {
		sample.Machines = r.machines
	}
	return sample
}

// wrap makes an error fit for those who know nothing of this source.
func (s *Source) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &source.Error{Kind: Kind, Metric: s.metric, Err: redacted{err, s.redact}}
}

// redacted is an error whose text is free of credentials.
type redacted struct {
	err    error
	redact source.Redactor
}

func (e redacted) Error() string { return e.redact.Text(e.err.Error()) }
func (e redacted) Unwrap() error { return e.err }

// maxWarned bounds of how many apps warnings are told.
const maxWarned = 1000

// maxWarnings bounds how many different warnings of one collection are kept.
const maxWarnings = 10

// warningSet gathers the warnings of one collection.
type warningSet struct {
	mu   sync.Mutex
	seen map[string]bool // guarded by mu
}

func (w *warningSet) add(warnings []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range warnings {
		if len(w.seen) >= maxWarnings {
			return
		}
		if w.seen == nil {
			w.seen = map[string]bool{}
		}
		w.seen[text] = true
	}
}

func (w *warningSet) sorted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := make([]string, 0, len(w.seen))
	for text := range w.seen {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts
}

// noteWarnings logs the warnings of a collection for one app, or for many when
// none is given, unless they are the ones of the collection before.
func (s *Source) noteWarnings(ctx context.Context, app scale.App, warnings []string) {
	for i, text := range warnings {
		warnings[i] = source.Printable(s.redact.Text(text), maxShownText)
	}
	s.mu.Lock()
	last, known := s.warnings[app]
	tell := false
	switch {
	case len(warnings) == 0:
		delete(s.warnings, app)
	case known || len(s.warnings) < maxWarned:
		tell = !slices.Equal(last, warnings)
		s.warnings[app] = warnings
	}
	s.mu.Unlock()
	if tell {
		s.logger.WarnContext(ctx, "query answered with warnings", "warnings", warnings)
	}
}
