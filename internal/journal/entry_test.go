package journal_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/journal"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.FixedZone("", 2*3600))

// fill gives every field a value that is not zero, those too that types gain after
// this was written.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(noon))
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte(`{"a":1}`))
	case v.Type() == reflect.TypeFor[scale.Quality]():
		v.Set(reflect.ValueOf(scale.Stale))
	default:
		switch v.Kind() {
		case reflect.Struct:
			for _, field := range v.Fields() {
				fill(t, field)
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			for i := range v.Len() {
				fill(t, v.Index(i))
			}
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		case reflect.Map:
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key)
			fill(t, value)
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(key, value)
		case reflect.String:
			v.SetString("fly_text <&>é")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(1<<53 + 1)
		case reflect.Float64:
			v.SetFloat(0.1)
		default:
			t.Fatalf("no value for a %s", v.Type())
		}
	}
}

// Everything but what Reduce leaves out comes back, whatever fields there are.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	var want journal.Entry
	fill(t, reflect.ValueOf(&want).Elem())
	data, err := journal.Encode(want)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	got, err := journal.Decode(data)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	for i := range want.Inputs.Snapshot.Machines {
		want.Inputs.Snapshot.Machines[i].Config = json.RawMessage("{}")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entry differs (-want +got):\n%s", diff)
	}
	again, err := journal.Encode(got)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("encoded again the bytes differ, or: %v", err)
	}
}

// What there is none of stays apart from what is empty: decisions write them
// differently.
func TestNoneAndEmpty(t *testing.T) {
	t.Parallel()
	for _, want := range []journal.Entry{
		{Kind: journal.Failed, Error: "no answer"},
		{Inputs: &journal.Inputs{}},
		{Inputs: &journal.Inputs{Samples: []scale.Sample{}, Snapshot: scale.Snapshot{Machines: []scale.Machine{}}}},
		{Inputs: &journal.Inputs{Snapshot: scale.Snapshot{Machines: []scale.Machine{{ID: "1"}, {ID: "2", Metadata: map[string]string{}}}}}},
	} {
		data, err := journal.Encode(want)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		got, err := journal.Decode(data)
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entry differs (-want +got):\n%s", diff)
		}
	}
}

// Nothing of an app's configuration gets into a journal, and what was given to
// Encode stays as it is.
func TestReduce(t *testing.T) {
	t.Parallel()
	m := scale.Machine{
		ID: "1", Config: json.RawMessage(`{"env":{"PASSWORD":"hunter2"}}`),
		Metadata: map[string]string{
			"api_key": "hunter2", "FLY": "hunter2",
			scale.MetaReleaseVersion: "7", scale.MetaManagedPostgres: "1", scale.MetaProcessGroupLegacy: "app", scale.MetaCreateID: "c",
		},
	}
	e := journal.Entry{Inputs: &journal.Inputs{Snapshot: scale.Snapshot{Machines: []scale.Machine{m}}}}
	data, err := journal.Encode(e)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	if text := inflate(t, data); strings.Contains(text, "hunter2") || strings.Contains(text, "PASSWORD") {
		t.Errorf("a secret is in %s", text)
	}
	got, err := journal.Decode(data)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	want := map[string]string{
		scale.MetaReleaseVersion: "7", scale.MetaManagedPostgres: "1", scale.MetaProcessGroupLegacy: "app", scale.MetaCreateID: "c",
	}
	if diff := cmp.Diff(want, got.Inputs.Snapshot.Machines[0].Metadata); diff != "" {
		t.Errorf("metadata differs (-want +got):\n%s", diff)
	}
	if kept := e.Inputs.Snapshot.Machines[0]; len(kept.Metadata) != 6 || len(kept.Config) < 10 {
		t.Errorf("the snapshot that was given was changed to %+v", kept)
	}
}

func inflate(t *testing.T, data []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("inflate: %v", err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("inflate: %v", err)
	}
	return string(text)
}

func deflate(tb testing.TB, text []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		tb.Fatalf("deflate: %v", err)
	}
	if err := w.Close(); err != nil {
		tb.Fatalf("deflate: %v", err)
	}
	return b.Bytes()
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	good, err := journal.Encode(journal.Entry{App: "web"})
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want error // nil: any
	}{
		{"nothing", nil, io.EOF},
		{"plain", []byte(`{"v":1,"app":"web","error":"no answer"}`), gzip.ErrHeader},
		{"cut off", good[:len(good)-9], io.ErrUnexpectedEOF},
		{"no JSON", deflate(t, []byte("x")), nil},
		{"no version", deflate(t, []byte("{}")), nil},
		{"newer", deflate(t, []byte(`{"v":2,"app":"web"}`)), journal.ErrVersion},
		{"no quality", deflate(t, []byte(`{"v":1,"inputs":{"samples":[{"quality":"superb"}]}}`)), nil},
		{"a bomb", deflate(t, make([]byte, 17<<20)), nil},
	} {
		got, err := journal.Decode(tt.data)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: got %+v, %v, want error %v", tt.name, got, err, tt.want)
		}
	}
	// What a later version adds is passed over, as long as the version is the same.
	if got, err := journal.Decode(deflate(t, []byte(`{"v":1,"app":"web","colour":"red"}`))); err != nil || got.App != "web" {
		t.Errorf("a field that is not known: got %+v, %v", got, err)
	}
}

func FuzzEntryDecode(f *testing.F) {
	for _, e := range []journal.Entry{
		{},
		{App: "web", Group: "app", Kind: journal.Failed, Error: "no answer", At: noon},
		{App: "web", Kind: journal.Acted, Decision: json.RawMessage(`{"want":1}`), Inputs: &journal.Inputs{
			Now: noon, Policy: json.RawMessage(`{"max-started":"3"}`), Samples: []scale.Sample{{Metric: "q", Value: 1e300, Quality: scale.Fresh}},
			Snapshot: scale.Snapshot{App: "web", Machines: []scale.Machine{{ID: "1", Config: json.RawMessage("{}"), Lease: &scale.Lease{Owner: "x"}}}},
		}},
	} {
		data, err := json.Marshal(struct {
			V int `json:"v"`
			journal.Entry
		}{1, e})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, true)
	}
	f.Add([]byte("\x1f\x8b"), false)
	f.Fuzz(func(t *testing.T, data []byte, text bool) {
		if text { // get past gzip's checksum
			data = deflate(t, data)
		}
		e, err := journal.Decode(data)
		if err != nil {
			return
		}
		first, err := journal.Encode(e)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		again, err := journal.Decode(first)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
		second, err := journal.Encode(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("the bytes do not settle: %v\n%s\n%s", err, inflate(t, first), inflate(t, second))
		}
	})
}
