package source_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

func TestNewSample(t *testing.T) {
	at := time.Unix(1700000000, 0)
	tests := []struct {
		name  string
		value float64
		err   error
		want  scale.Sample
	}{
		{"value", 4.5, nil, scale.Sample{Metric: "m", Value: 4.5, At: at, Quality: scale.Fresh}},
		{"zero is a value", 0, nil, scale.Sample{Metric: "m", At: at, Quality: scale.Fresh}},
		{
			"not a number", math.NaN(), nil,
			scale.Sample{Metric: "m", At: at, Quality: scale.Error, Reason: "value is NaN, not a finite number"},
		},
		{
			"infinite", math.Inf(-1), nil,
			scale.Sample{Metric: "m", At: at, Quality: scale.Error, Reason: "value is -Inf, not a finite number"},
		},
		{
			"failed", 7, errors.New("no route"),
			scale.Sample{Metric: "m", At: at, Quality: scale.Error, Reason: "no route"},
		},
		{
			"empty", 7, &source.Error{Kind: "redis", Metric: "m", Err: fmt.Errorf("%w: no such key", source.ErrEmpty)},
			scale.Sample{Metric: "m", At: at, Quality: scale.Empty, Reason: `redis: collect "m": no value: no such key`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := source.NewSample("m", tt.value, at, tt.err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sample differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	tests := []struct {
		in    string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"plain text", 10, "plain text"},
		{"plain text!", 10, "plain t…"},
		{"  a\r\n\t b\x00\x1b[31mc ", 20, "a b [31mc"},
		{"\xff\xfebin", 20, "bin"},
		{"äöüäöü", 8, "äö…"},
	}
	for _, tt := range tests {
		if got := source.Printable(tt.in, tt.limit); got != tt.want {
			t.Errorf("Printable(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}

func TestPrintableBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		limit := rapid.IntRange(3, 60).Draw(t, "limit")
		got := source.Printable(in, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\t\x00\x1b") {
			t.Fatalf("Printable(%q, %d) = %q", in, limit, got)
		}
	})
}

func TestRedactor(t *testing.T) {
	tests := []struct {
		name    string
		secrets []scale.Secret
		in      string
		want    string
	}{
		{"none", nil, "token abcdef", "token abcdef"},
		{"whole", []scale.Secret{"abcdef"}, "got abcdef, abcdefg", "got [redacted], [redacted]g"},
		{
			"parts of a credential",
			[]scale.Secret{"FlyV1 fm2_aaaa,fm2_bbbb"},
			"FlyV1 fm2_aaaa,fm2_bbbb / fm2_bbbb / FlyV1", "[redacted] / [redacted] / FlyV1",
		},
		{"in a URL", []scale.Secret{"a+b/c=="}, "?token=a%2Bb%2Fc%3D%3D", "?token=[redacted]"},
		{"longer ones first", []scale.Secret{"abcd", "abcdef"}, "abcdef", "[redacted]"},
		{"too short to be one", []scale.Secret{"ab", ""}, "about", "about"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := source.NewRedactor(tt.secrets...).Text(tt.in); got != tt.want {
				t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestValidApp(t *testing.T) {
	for app, want := range map[scale.App]bool{
		"web": true, "my-app-2": true, "0": true, scale.App(strings.Repeat("a", 63)): true,
		"": false, "-web": false, "Web": false, "a_b": false, "a.b": false, "a\n": false, "é": false,
		scale.App(strings.Repeat("a", 64)): false,
	} {
		if got := source.ValidApp(app); got != want {
			t.Errorf("ValidApp(%q) = %v, want %v", app, got, want)
		}
	}
}

func TestEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		apps := rapid.SliceOf(rapid.SampledFrom([]scale.App{"a", "b", "c", "d", "e"})).Draw(t, "apps")
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		var running, asked atomic.Int64
		got := source.Each(context.Background(), apps, limit, func(_ context.Context, app scale.App) scale.Sample {
			if now := running.Add(1); now > int64(limit) {
				t.Errorf("%d asked at a time, want at most %d", now, limit)
			}
			defer running.Add(-1)
			asked.Add(1)
			return scale.Sample{Metric: string(app)}
		})
		want := map[scale.App]scale.Sample{}
		for _, app := range apps {
			want[app] = scale.Sample{Metric: string(app)}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("samples differ (-want +got):\n%s", diff)
		}
		if int(asked.Load()) != len(want) {
			t.Fatalf("asked %d times for %d distinct apps", asked.Load(), len(want))
		}
	})
}

func TestEachAfterTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := source.Each(ctx, []scale.App{"a", "b"}, 1, func(ctx context.Context, _ scale.App) scale.Sample {
		return source.NewSample("m", 0, time.Unix(1, 0), ctx.Err())
	})
	for _, app := range []scale.App{"a", "b"} {
		if s := got[app]; s.Quality != scale.Error || s.Reason == "" {
			t.Errorf("sample of %q is %+v, want an error with a reason", app, s)
		}
	}
}
