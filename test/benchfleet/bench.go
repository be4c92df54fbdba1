package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

const (
	wantMore  = 4                      // Machines each app wants after the step
	perApp    = 2                      // of which are to be started
	pollEach  = 100 * time.Millisecond // while waiting
	tellEach  = 10 * time.Second       // between two lines of progress
	readyCall = 10 * time.Second       // the longest time for one answer of /readyz
)

var (
	simServes = regexp.MustCompile(`flysim serves (http://\S+)`)
	fasServes = regexp.MustCompile(`"msg":"serving","address":"([^"]+)"`)
)

// bench is one run: a platform and the program, from start to end.
type bench struct {
	settings settings
	variant  variant
	apps     int
	progress io.Writer

	dir      string
	began    time.Time
	platform *platform
	sim, fas *process
}

func newBench(s settings, v variant, apps int, progress io.Writer) *bench {
	return &bench{settings: s, variant: v, apps: apps, progress: progress}
}

// run measures. With an error the result holds what was measured before.
func (b *bench) run(ctx context.Context) (r result, err error) {
	r = result{Apps: b.apps, Variant: b.variant.name, Interval: b.settings.interval.Seconds()}
	b.began = time.Now()
	if b.dir, err = os.MkdirTemp("", "benchfleet"); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()

	if err := b.startPlatform(ctx, &r); err != nil {
		return r, err
	}
	defer func() { b.platform.close(); err = errors.Join(err, b.sim.stop()) }()
	if err := b.startProgram(ctx, &r); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.fas.stop()) }()
	for _, phase := range []func(context.Context, *result) error{b.ready, b.quiet, b.step} {
		if err := phase(ctx, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// tell reports progress.
func (b *bench) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(b.progress, "%5.0fs  %d apps, %s: %s\n",
		time.Since(b.began).Seconds(), b.apps, b.variant.name, fmt.Sprintf(format, args...))
}

func (b *bench) startPlatform(ctx context.Context, r *result) error {
	b.tell("making the platform")
	file := filepath.Join(b.dir, "scenario.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, scenario, b.apps), 0o600); err != nil {
		return fmt.Errorf("write the scenario: %w", err)
	}
	began := time.Now()
	var err error
	b.sim, err = start(ctx, simServes, nil, filepath.Join(b.settings.bin, "flysim"),
		"-listen", "127.0.0.1:0", "-latency", b.settings.latency.String(), "-scenario", file)
	if err != nil {
		return err
	}
	r.Setup = time.Since(began).Seconds()
	b.platform = newPlatform(b.sim.address)
	return nil
}

func (b *bench) startProgram(ctx context.Context, r *result) error {
	env, err := b.variant.settings(b)
	if err != nil {
		return err
	}
	env = append(env,
		"HOME="+b.dir, "FLY_FLAPS_BASE_URL="+b.platform.url, "FLY_API_BASE_URL="+b.platform.url, "FAS_API_TOKEN=token",
		"FAS_LISTEN=127.0.0.1:0", "FAS_LOG_FORMAT=json", "FAS_INTERVAL="+b.settings.interval.String())
	b.tell("waiting until the program is ready")
	r.started = time.Now()
	b.fas, err = start(ctx, fasServes, env, filepath.Join(b.settings.bin, "fly-autoscaler"), "serve")
	return err
}

// ready measures the time from the start of the program to its readiness.
func (b *bench) ready(ctx context.Context, r *result) error {
	client := &http.Client{Transport: &http.Transport{}, Timeout: readyCall}
	defer client.CloseIdleConnections()
	err := b.until(ctx, "ready", func(ctx context.Context) (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.fas.address+"/readyz", http.NoBody)
		if err != nil {
			return false, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return false, err
		}
		return resp.StatusCode == http.StatusOK, resp.Body.Close()
	})
	if err != nil {
		return err
	}
	r.Ready = seconds(time.Since(r.started))
	stats, err := b.platform.stats(ctx)
	r.RateLimited += stats.RateLimited
	return err
}

// quiet measures what cycles cost in which nothing changes, once it is no longer
// news that the fleet was made.
func (b *bench) quiet(ctx context.Context, r *result) error {
	b.tell("letting it settle for %v", b.settings.settle)
	if err := b.pause(ctx, b.settings.settle); err != nil {
		return err
	}
	if err := b.platform.reset(ctx); err != nil {
		return err
	}
	length := time.Duration(b.settings.quiet) * b.settings.interval
	b.tell("measuring %d quiet cycles, %v", b.settings.quiet, length)
	before, noUsage := used(b.fas.cmd.Process.Pid)
	if err := b.pause(ctx, length); err != nil {
		return err
	}
	after, err := used(b.fas.cmd.Process.Pid)
	if noUsage = errors.Join(noUsage, err); noUsage == nil {
		r.CPU = seconds((after.cpu - before.cpu) / time.Duration(b.settings.quiet))
	} else {
		b.tell("no processor time and memory: %v", noUsage)
	}
	stats, err := b.platform.stats(ctx)
	if err != nil {
		return err
	}
	r.Requests = perCycle(stats.Ops, b.settings.quiet)
	r.RateLimited += stats.RateLimited
	return nil
}

// step has every app want more at once, and measures when the Machines are asked
// to start.
func (b *bench) step(ctx context.Context, r *result) error {
	if err := b.platform.reset(ctx); err != nil {
		return err
	}
	set, err := b.platform.setAll(ctx, b.apps, wantMore)
	if err != nil {
		return fmt.Errorf("set the metric: %w", err)
	}
	b.tell("every app wants %d Machines more; waiting for their starts", perApp)
	reached := b.until(ctx, fmt.Sprintf("%d Machines started", perApp*b.apps), func(ctx context.Context) (bool, error) {
		stats, err := b.platform.stats(ctx)
		return stats.Statuses["machine_start"]["200"] >= perApp*b.apps, err
	})
	done := time.Now()
	if ctx.Err() != nil {
		return reached
	}
	history, err := b.platform.history(ctx)
	if err != nil {
		return errors.Join(reached, err)
	}
	stats, err := b.platform.stats(ctx)
	if err != nil {
		return errors.Join(reached, err)
	}
	r.StepRequests, r.Mutations = stats.Ops, mutations(stats.Ops)
	r.RateLimited += stats.RateLimited
	if u, err := used(b.fas.cmd.Process.Pid); err == nil {
		r.PeakMemory = &u.peak
	}
	delays, err := startDelays(history, set, perApp)
	r.delays(delays)
	if reached == nil && err == nil {
		r.end(done.Sub(set[history[len(history)-1].App]), b.settings.interval)
	}
	return errors.Join(reached, err)
}

// until waits until the condition holds, within the time limit, and tells that
// it still does.
func (b *bench) until(ctx context.Context, what string, condition func(context.Context) (bool, error)) error {
	limit := b.settings.timeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not %s within %v", what, limit))
	defer cancel()
	told := time.Now()
	for {
		ok, err := condition(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("wait until %s: %w", what, err)
		case ok:
			return nil
		}
		if time.Since(told) >= tellEach {
			told = time.Now()
			b.tell("not yet %s", what)
		}
		if err := b.pause(ctx, pollEach); err != nil {
			return err
		}
	}
}

// pause lets time pass, in which both programs must go on running.
func (b *bench) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.sim.exited:
		return b.sim.ended()
	case <-b.fas.exited:
		return b.fas.ended()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
