package flysim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

// gaugeRequest sets a series of an app by hand.
type gaugeRequest struct {
	Org    string            `json:"org"` // the app's when empty
	App    string            `json:"app"`
	Metric string            `json:"metric"`
	Labels map[string]string `json:"labels"`
	Delete bool              `json:"delete"` // end the series and keep it away
	// Value is a number, or "NaN", "+Inf" or "-Inf". Null gives the series back to
	// the app's loads.
	Value json.RawMessage `json:"value"`
}

// serveGauge answers POST /_sim/gauge. What it sets can be queried at once.
func (p *Prometheus) serveGauge(w http.ResponseWriter, r *http.Request) {
	status, err := p.setGauge(http.MaxBytesReader(w, r.Body, maxQueryBody))
	if err != nil {
		body := append(appendString([]byte(`{"error":`), err.Error()), '}')
		writeRaw(w, status, "application/json", body)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (p *Prometheus) setGauge(body io.Reader) (status int, err error) {
	var g gaugeRequest
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&g); err != nil {
		return http.StatusBadRequest, fmt.Errorf("decode gauge: %w", err)
	}
	app, err := p.world.App(g.App)
	if err == nil && g.Org != "" && g.Org != app.Org.Slug {
		err = fmt.Errorf("app %q is not in organization %q", g.App, g.Org)
	}
	if err != nil {
		return http.StatusNotFound, err
	}
	now, org := p.world.Now(), app.Org.Slug
	switch null := bytes.Equal(g.Value, []byte("null")); {
	case g.Delete:
		err = p.store.RemoveGauge(now, org, g.App, g.Metric, g.Labels)
	case len(g.Value) == 0:
		err = errors.New("want a value, or delete")
	case null:
		err = p.store.ReleaseGauge(org, g.App, g.Metric, g.Labels)
	default:
		var value float64
		if value, err = gaugeValue(g.Value); err == nil {
			err = p.store.SetGauge(now, org, g.App, g.Metric, g.Labels, value)
		}
	}
	if err != nil {
		return http.StatusBadRequest, err
	}
	return http.StatusNoContent, nil
}

// gaugeValue reads a number, or a name of one that JSON cannot write.
func gaugeValue(raw json.RawMessage) (float64, error) {
	text := string(raw)
	var name string
	if json.Unmarshal(raw, &name) == nil {
		text = name
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("value %s is neither a number nor NaN, +Inf or -Inf", raw)
	}
	return value, nil
}

// serveMetrics answers GET /_sim/metrics with the newest value of every series
// of all organizations in the Prometheus text format, so that a Prometheus
// server can scrape the world. Such a server needs honor_labels, because the
// series carry the label "instance" themselves; the label "org" is added.
func (p *Prometheus) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	writeRaw(w, http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", exposition(p.store.Live()))
}

func exposition(live []sim.LiveSample) []byte {
	var out []byte
	last := ""
	for _, sample := range live {
		name := sample.Labels.Get(model.MetricNameLabel)
		if name != last {
			last = name
			out = fmt.Appendf(out, "# TYPE %s %s\n", name, metricType(name))
		}
		out = append(out, name...)
		separator := byte('{')
		labels.NewBuilder(sample.Labels).Del(model.MetricNameLabel).Set("org", sample.Org).Labels().Range(func(l labels.Label) {
			out = append(out, separator)
			separator = ','
			out = append(out, l.Name...)
			out = append(out, `="`...)
			out = append(out, escapeLabel.Replace(l.Value)...)
			out = append(out, '"')
		})
		out = append(out, "} "...)
		out = strconv.AppendFloat(out, sample.Value, 'g', -1, 64)
		out = append(out, '\n')
	}
	return out
}

// escapeLabel escapes a label's value for the text format.
var escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// metricType tells the type of a metric by its name: the platform names its own
// counters "_count", which for others may well be a gauge.
func metricType(name string) string {
	if strings.HasSuffix(name, "_total") || strings.HasPrefix(name, "fly_") && strings.HasSuffix(name, "_count") {
		return "counter"
	}
	return "gauge"
}
