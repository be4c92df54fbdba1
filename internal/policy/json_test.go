package policy_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/expr"
	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
	"github.com/fly-autoscaler/fly-autoscaler/internal/schedule"
)

func window(t *testing.T, text string) policy.Window {
	t.Helper()
	w, err := schedule.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// fill sets every field to a value that is not zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case *expr.Program:
		p, err := expr.Compile("ceil(queue / 10)", []string{"queue"})
		if err != nil {
			t.Fatal(err)
		}
		v.Set(reflect.ValueOf(p))
		return
	case policy.Window:
		v.Set(reflect.ValueOf(window(t, "0 8 * * 1-5 for 10h0m0s Europe/Berlin")))
		return
	case policy.Select, policy.Pause, policy.IdleMode, policy.Order:
		v.SetInt(2)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0))
		fill(t, v.Index(1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Interface: // a window that is nil
		v.Set(reflect.ValueOf(window(t, "mon,fri 08:00-18:00 UTC")))
	case reflect.String:
		v.SetString("a <text>")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(90 * time.Second))
	case reflect.Float64:
		v.SetFloat(0.1)
	default:
		t.Fatalf("no value for a %s", v.Type())
	}
}

var same = cmp.Options{
	cmp.Comparer(func(a, b *expr.Program) bool {
		return (a == nil) == (b == nil) && (a == nil || a.String() == b.String())
	}),
	cmp.Comparer(func(a, b policy.Window) bool { return a.String() == b.String() }),
}

func rewrite(t *testing.T, p *policy.Policy) *policy.Policy {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got *policy.Policy
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("read %s: %v", data, err)
	}
	return got
}

// A policy that was written and read is the same in every field.
func TestPolicyJSON(t *testing.T) {
	t.Parallel()
	var full policy.Policy
	fill(t, reflect.ValueOf(&full).Elem())
	got := rewrite(t, &full)
	if diff := cmp.Diff(&full, got, same); diff != "" {
		t.Errorf("a full policy differs (-want +got):\n%s", diff)
	}
	if got.MinStarted == got.MaxStarted {
		t.Error("two expressions have become one")
	}
	full.MinStarted, full.MinCreated = full.MaxStarted, full.MaxCreated
	if got := rewrite(t, &full); got.MinStarted != got.MaxStarted || got.MinCreated != got.MaxCreated {
		t.Error("one expression has become two")
	}
	if diff := cmp.Diff(&policy.Policy{Group: "app"}, rewrite(t, &policy.Policy{Group: "app"}), same); diff != "" {
		t.Errorf("an empty policy differs (-want +got):\n%s", diff)
	}
}

// What cannot be read as it was meant is an error.
func TestPolicyJSONOfOthers(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string]string{
		`{"Gruop":"app"}`:                                         "Gruop",
		`{"Limits":{"Pause":"maybe"}}`:                            "maybe",
		`{"MinStarted":{"source":"queue +"}}`:                     "queue +",
		`{"Schedules":[{"Name":"day","Window":"every morning"}]}`: "every morning",
	} {
		var p policy.Policy
		if err := json.Unmarshal([]byte(bad), &p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error about %s", bad, err, want)
		}
	}
	if _, err := json.Marshal(policy.Policy{Limits: policy.Limits{Pause: 9}}); err == nil {
		t.Error("a pause that does not exist is written")
	}
}
