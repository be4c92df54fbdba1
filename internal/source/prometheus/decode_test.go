package prometheus

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

func TestDecode(t *testing.T) {
	vector := func(elements string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + elements + `]}}`
	}
	at := time.UnixMilli(1700000000123)
	tests := []struct {
		name, body string
		want       reading
		wantErr    string // "" when there is a value
		wantIs     error
	}{
		{
			"vector", vector(`{"metric":{"a":"b"},"value":[1700000000.123,"42.5"]}`),
			reading{value: 42.5, at: at},
			"", nil,
		},
		{
			"scalar", `{"status":"success","data":{"resultType":"scalar","result":[1700000000.123,"-3"]},"warnings":["w"]}`,
			reading{value: -3, at: at, warnings: []string{"w"}},
			"", nil,
		},
		{"zero", vector(`{"value":[1700000000.123,"0"]}`), reading{at: at}, "", nil},
		{"empty", vector(``), reading{}, "no series", source.ErrEmpty},
		{
			"several", vector(`{"metric":{"__name__":"q","z":"1","app":"d"},"value":[1,"1"]},{"metric":{"app":"a"},"value":[1,"2"]},` +
				`{"metric":{"app":"b"},"value":[1,"2"]},{"metric":{"app":"c"},"value":[1,"2"]}`),
			reading{},
			`the query returned 4 series, want one (aggregate it, for example with sum or max): q{app="d",z="1"}, {app="a"}, {app="b"}, …`, nil,
		},
		{"NaN", vector(`{"value":[1700000000.123,"NaN"]}`), reading{at: at}, "NaN", nil},
		{"infinite", vector(`{"value":[1700000000.123,"+Inf"]}`), reading{at: at}, "+Inf", nil},
		{"matrix", `{"status":"success","data":{"resultType":"matrix","result":[]}}`, reading{}, "matrix", nil},
		{"string", `{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`, reading{}, "string", nil},
		{"histogram", vector(`{"metric":{},"histogram":[1,{"count":"1"}]}`), reading{}, "histogram", nil},
		{
			"error", `{"status":"error","errorType":"bad_data","error":"1:2: parse error"}`,
			reading{},
			"server says bad_data: 1:2: parse error", nil,
		},
		{"error without a type", `{"status":"error","error":"oh"}`, reading{}, "server says error: oh", nil},
		{
			"partial", `{"status":"success","isPartial":true,"warnings":["w"],"data":{"resultType":"scalar","result":[1,"1"]}}`,
			reading{warnings: []string{"w"}},
			"the answer is partial", errPartial,
		},
		{"page", `<html>`, reading{}, "invalid character", errNotAPI},
		{"nothing", ``, reading{}, "unexpected end", errNotAPI},
		{"other JSON", `{"message":"hello"}`, reading{}, "no status", errNotAPI},
		{"null", `null`, reading{}, "no status", errNotAPI},
		{"no data", `{"status":"success"}`, reading{}, "no status and data", errNotAPI},
		{"no value", vector(`{"metric":{}}`), reading{}, "no value", errNotAPI},
		{"no pair", vector(`{"value":[1]}`), reading{}, "cannot be read", errNotAPI},
		{"no number", vector(`{"value":[1,"forty"]}`), reading{}, "cannot be read", errNotAPI},
		{"out of range", vector(`{"value":[1,"1e999"]}`), reading{}, "cannot be read", errNotAPI},
		{"null scalar", `{"status":"success","data":{"resultType":"scalar","result":null}}`, reading{}, "scalar", errNotAPI},
		{"unknown type", `{"status":"success","data":{"resultType":"table","result":[]}}`, reading{}, `"table"`, errNotAPI},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode([]byte(tt.body))
			if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("error is %v, want %q", err, tt.wantErr)
			}
			if tt.wantIs != nil && !errors.Is(err, tt.wantIs) {
				t.Errorf("error %v is not %v", err, tt.wantIs)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(reading{})); diff != "" {
				t.Errorf("reading differs (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1700000000.123,"42.5"]}]}}`,
		`{"status":"success","data":{"resultType":"scalar","result":[1e300,"-3"]},"warnings":["w"]}`,
		`{"status":"error","errorType":"bad_data","error":"x"}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}`,
		`null`, `<html>`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decode(body)
		if err == nil && (math.IsNaN(r.value) || math.IsInf(r.value, 0)) {
			t.Fatalf("value %v came without an error", r.value)
		}
		if err != nil && r.value != 0 {
			t.Fatalf("value %v came with the error %v", r.value, err)
		}
		if err != nil && (len(err.Error()) > 1000 || !utf8.ValidString(source.Printable(err.Error(), 400))) {
			t.Fatalf("error is not bounded: %d bytes", len(err.Error()))
		}
		if !r.at.IsZero() && r.at.Before(time.Unix(0, 0)) {
			t.Fatalf("time is %v", r.at)
		}
	})
}
