package flysim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// queryResult is the result of a query, in its own memory. Its encoding is
// written by hand because a grouped query for all apps of an organization has
// tens of thousands of rows.
type queryResult struct {
	kind parser.ValueType
	rows []resultRow // one, without labels, when the kind is scalar or string
	text string      // of a string
}

type resultRow struct {
	metric labels.Labels
	points []promql.FPoint
}

func newQueryResult(value parser.Value) (*queryResult, error) {
	result := &queryResult{kind: value.Type()}
	switch v := value.(type) {
	case promql.Scalar:
		result.rows = []resultRow{{points: []promql.FPoint{{T: v.T, F: v.V}}}}
	case promql.String:
		result.rows = []resultRow{{points: []promql.FPoint{{T: v.T}}}}
		result.text = v.V
	case promql.Vector:
		result.rows = make([]resultRow, len(v))
		for i, sample := range v {
			result.rows[i] = resultRow{sample.Metric, []promql.FPoint{{T: sample.T, F: sample.F}}}
		}
	case promql.Matrix:
		result.rows = make([]resultRow, len(v))
		for i, series := range v {
			result.rows[i] = resultRow{series.Metric, append([]promql.FPoint(nil), series.Floats...)}
		}
	default:
		return nil, fmt.Errorf("result of unknown type %T", value)
	}
	return result, nil
}

func (q *queryResult) appendJSON(to []byte) []byte {
	to = append(to, `{"resultType":"`...)
	to = append(to, q.kind...)
	to = append(to, `","result":`...)
	switch q.kind {
	case parser.ValueTypeScalar:
		to = appendPoint(to, q.rows[0].points[0])
	case parser.ValueTypeString:
		to = append(to, '[')
		to = appendSeconds(to, q.rows[0].points[0].T)
		to = append(to, ',')
		to = appendString(to, q.text)
		to = append(to, ']')
	default:
		to = append(to, '[')
		for i, row := range q.rows {
			if i > 0 {
				to = append(to, ',')
			}
			to = q.appendRow(to, row)
		}
		to = append(to, ']')
	}
	return append(to, '}')
}

func (q *queryResult) appendRow(to []byte, row resultRow) []byte {
	to = append(to, `{"metric":`...)
	to = appendLabels(to, row.metric)
	if q.kind == parser.ValueTypeVector {
		to = append(to, `,"value":`...)
		to = appendPoint(to, row.points[0])
		return append(to, '}')
	}
	to = append(to, `,"values":[`...)
	for i, point := range row.points {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendPoint(to, point)
	}
	return append(to, "]}"...)
}

// seriesList answers with the labels of series.
type seriesList []labels.Labels

func (s seriesList) appendJSON(to []byte) []byte {
	to = append(to, '[')
	for i, set := range s {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendLabels(to, set)
	}
	return append(to, ']')
}

// nameList answers with names or values of labels.
type nameList []string

func (n nameList) appendJSON(to []byte) []byte {
	to = append(to, '[')
	for i, name := range n {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendString(to, name)
	}
	return append(to, ']')
}

func appendLabels(to []byte, set labels.Labels) []byte {
	to = append(to, '{')
	first := true
	set.Range(func(l labels.Label) {
		if !first {
			to = append(to, ',')
		}
		first = false
		to = appendString(to, l.Name)
		to = append(to, ':')
		to = appendString(to, l.Value)
	})
	return append(to, '}')
}

// appendString appends a JSON string. Nearly all are plain.
func appendString(to []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always has an encoding
			}
			return append(to, quoted...)
		}
	}
	to = append(to, '"')
	to = append(to, s...)
	return append(to, '"')
}

// appendPoint appends [seconds, "value"].
func appendPoint(to []byte, p promql.FPoint) []byte {
	to = append(to, '[')
	to = appendSeconds(to, p.T)
	to = append(to, `,"`...)
	format := byte('f')
	if size := math.Abs(p.F); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	to = strconv.AppendFloat(to, p.F, format, -1, 64)
	return append(to, `"]`...)
}

func appendSeconds(to []byte, milliseconds int64) []byte {
	return strconv.AppendFloat(to, float64(milliseconds)/1000, 'f', -1, 64)
}

// queryError is a refusal in the words of the Prometheus API.
type queryError struct {
	status int
	kind   string // the errorType of the answer
	err    error
}

// Error implements error.
func (e *queryError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *queryError) Unwrap() error { return e.err }

func badData(err error) error { return &queryError{http.StatusBadRequest, "bad_data", err} }

func badParam(name string, err error) error {
	return badData(fmt.Errorf("invalid parameter %q: %w", name, err))
}

// statusClientClosed is what a Prometheus server answers when the client went
// away before the result was there.
const statusClientClosed = 499

// classify tells what kind of refusal an error is.
func classify(err error) *queryError {
	var (
		known    *queryError
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return &queryError{http.StatusServiceUnavailable, "timeout", err}
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return &queryError{statusClientClosed, "canceled", err}
	}
	return &queryError{http.StatusUnprocessableEntity, "execution", err}
}

func writeQueryError(w http.ResponseWriter, err error) {
	e := classify(err)
	body := appendString([]byte(`{"status":"error","errorType":`), e.kind)
	body = append(body, `,"error":`...)
	body = appendString(body, e.Error())
	writeRaw(w, e.status, "application/json", append(body, '}'))
}

// writeRaw writes an answer. A client that went away is not told, and nobody
// else needs to know.
func writeRaw(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
