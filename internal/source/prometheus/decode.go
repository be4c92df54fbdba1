package prometheus

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// Bounds on what of an answer is repeated to people.
const (
	maxShownSets = 3   // label sets of an ambiguous answer
	maxShownSet  = 100 // bytes of each
	maxShownText = 250 // bytes of a server's error message
)

// errNotAPI is the failure to understand an answer as one of the query API.
var errNotAPI = errors.New("not an answer of the query API")

// errHistogram is the refusal of a value that is no number.
var errHistogram = errors.New("the query returned a histogram; use histogram_sum, histogram_avg or histogram_quantile")

// errPartial is wrapped by the refusal of an answer that says of itself that it
// does not cover everything: a sum over a part is a number like any other, only
// too small.
var errPartial = errors.New("the answer is partial")

// reading is what an answer says.
type reading struct {
	value    float64
	machines map[scale.MachineID]float64 // of a query by Machine, whose sum value is
	at       time.Time                   // when the server evaluated the query; zero when it did not say
	answered time.Time                   // when the server answered; zero when it was asked as of a time
	warnings []string
}

// response is the envelope of every answer of the query API.
type response struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	Infos     []string `json:"infos"`
	IsPartial bool     `json:"isPartial"` // VictoriaMetrics, when a storage node did not answer
	Data      *struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// unmarshal reads an answer, which must be a success and whole. The error wraps
// errNotAPI when the body is no answer of the query API, and errPartial when the
// answer says that it is not whole.
func (r *response) unmarshal(body []byte) error {
	if err := json.Unmarshal(body, r); err != nil {
		*r = response{}
		return fmt.Errorf("%w: %w", errNotAPI, err)
	}
	switch {
	case r.Status == "error":
		return fmt.Errorf("server says %s: %s", orUnknown(r.ErrorType), source.Printable(r.Error, maxShownText))
	case r.Status != "success" || r.Data == nil:
		return fmt.Errorf("%w: no status and data", errNotAPI)
	}
	return r.partial()
}

// partial returns an error when the answer says that it is partial: in a field of
// its own, or in words beside the data, as servers do that ask several stores.
func (r *response) partial() error {
	for _, text := range slices.Concat(r.Warnings, r.Infos) {
		if strings.Contains(strings.ToLower(text), "partial") {
			return fmt.Errorf("%w: %s", errPartial, source.Printable(text, maxShownText))
		}
	}
	if r.IsPartial {
		return fmt.Errorf("%w: the server did not hear from all of its storage", errPartial)
	}
	return nil
}

// element is one element of an instant vector. Exactly one of Value and
// Histogram is there.
type element struct {
	Metric    map[string]string `json:"metric"`
	Value     *point            `json:"value"`
	Histogram json.RawMessage   `json:"histogram"`
}

// decode reduces an answer to one finite number. The error wraps errNotAPI when
// the body is no answer of the query API at all, errPartial when the answer is not
// whole, and source.ErrEmpty when it is that there is nothing. The warnings are set whenever the body could
// be read.
func decode(body []byte) (reading, error) {
	var resp response
	err := resp.unmarshal(body)
	r := reading{warnings: resp.Warnings}
	if err != nil {
		return r, err
	}
	p, err := single(resp.Data.ResultType, resp.Data.Result)
	r.at = p.at
	if err != nil {
		return r, err
	}
	if err := source.CheckValue(p.value); err != nil {
		return r, err
	}
	r.value = p.value
	return r, nil
}

// single returns the one point of a result.
func single(resultType string, result json.RawMessage) (point, error) {
	switch resultType {
	case "scalar":
		var p *point
		if err := json.Unmarshal(result, &p); err != nil || p == nil {
			return point{}, fmt.Errorf("%w: the scalar is no pair of time and value", errNotAPI)
		}
		return *p, nil
	case "vector":
		var elements []element
		if err := json.Unmarshal(result, &elements); err != nil {
			return point{}, fmt.Errorf("%w: the vector cannot be read", errNotAPI)
		}
		switch {
		case len(elements) == 0:
			return point{}, fmt.Errorf("%w: the query returned no series", source.ErrEmpty)
		case len(elements) > 1:
			return point{}, ambiguous(elements)
		case elements[0].Value == nil && elements[0].Histogram != nil:
			return point{}, errHistogram
		case elements[0].Value == nil:
			return point{}, fmt.Errorf("%w: the element of the vector has no value", errNotAPI)
		}
		return *elements[0].Value, nil
	case "matrix":
		return point{}, errors.New("the query returned a range of values (matrix); wrap it in a function such as rate or max_over_time")
	case "string":
		return point{}, errors.New("the query returned a string, not a number")
	}
	return point{}, fmt.Errorf("%w: unknown result type %q", errNotAPI, source.Printable(resultType, maxShownSet))
}

// ambiguous says that there are several values and shows by which labels the
// first ones differ from each other.
func ambiguous(elements []element) error {
	sets := make([]string, len(elements))
	for i, e := range elements {
		sets[i] = labels(e.Metric)
	}
	slices.Sort(sets) // The servers' order is undefined; the same answer gives the same text.
	shown := sets[:min(len(sets), maxShownSets)]
	for i, set := range shown {
		shown[i] = source.Printable(set, maxShownSet)
	}
	more := ""
	if len(sets) > len(shown) {
		more = ", …"
	}
	return fmt.Errorf("the query returned %d series, want one (aggregate it, for example with sum or max): %s%s",
		len(elements), strings.Join(shown, ", "), more)
}

// labels prints a label set the way queries write it.
func labels(set map[string]string) string {
	pairs := make([]string, 0, len(set))
	for name, value := range set {
		if name != "__name__" {
			pairs = append(pairs, name+"="+strconv.Quote(value))
		}
	}
	slices.Sort(pairs)
	return set["__name__"] + "{" + strings.Join(pairs, ",") + "}"
}

// point is a value at a time, on the wire a pair such as [1700000000.123, "42"].
type point struct {
	at    time.Time
	value float64
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *point) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("%d parts, want time and value", len(pair))
	}
	var seconds float64
	if err := json.Unmarshal(pair[0], &seconds); err != nil {
		return err
	}
	var text string
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	p.value = value
	// Times are in milliseconds; what a time cannot hold counts as not told.
	if ms := math.Round(seconds * 1000); ms > 0 && ms < math.MaxInt64/2 {
		p.at = time.UnixMilli(int64(ms))
	}
	return nil
}

func orUnknown(s string) string {
	if s == "" {
		return "error"
	}
	return source.Printable(s, maxShownSet)
}
