package scale_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// However a secret is printed, logged or encoded, alone or inside something, its
// text does not come out.
func TestSecretStaysSecret(t *testing.T) {
	t.Parallel()
	const text = "fm2_verysecret"
	s := scale.Secret(text)
	inside := struct{ Token scale.Secret }{s}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "token", s, "inside", inside)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "token", s, "inside", inside)
	encoded, err := json.Marshal(map[string]any{"a": s, "b": inside})
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %v %q %+v %#v", s, s, s, inside, inside), fmt.Errorf("token %v", s).Error(), log.String(), string(encoded),
	} {
		if strings.Contains(out, "verysecret") {
			t.Errorf("the secret is in %s", out)
		}
		if !strings.Contains(out, "[redacted]") {
			t.Errorf("nothing tells that something is left out of %s", out)
		}
	}
	if got := scale.Secret("").String(); got != "" {
		t.Errorf("the empty secret is shown as %q", got)
	}
}

// The JSON that scripts read: null for what is not defined or not known, and at
// least one created Machine.
func TestLimitsJSON(t *testing.T) {
	t.Parallel()
	limit := func(n int) scale.Limit { return scale.Limit{Defined: true, Known: true, Value: n} }
	for want, l := range map[string]scale.Limits{
		`{"created":{"min":null,"max":null},"started":{"min":null,"max":null}}`: {},
		`{"created":{"min":1,"max":4},"started":{"min":0,"max":null}}`: {
			MinCreated: limit(0), MaxCreated: limit(4), MinStarted: limit(0), MaxStarted: scale.Limit{Defined: true, Reason: "unknown"},
		},
	} {
		got, err := json.Marshal(l)
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
