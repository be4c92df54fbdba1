package prometheus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// row is what an answer about many apps says about one of them.
type row struct {
	point   point
	err     error             // why there is no point
	metrics []json.RawMessage // label sets of the elements that name the app

	machines *machineRows // of a query by Machine; nil of others
}

// rows is an answer about many apps.
type rows struct {
	byApp    map[scale.App]*row
	at       time.Time // when the server evaluated the query; zero when it did not say
	answered time.Time // when the server answered; zero when it was asked as of a time
	named    int       // elements that have the label
	nameless int       // elements that do not
	warnings []string
}

// rowElement is an element of an instant vector whose label set is looked into
// only as far as needed.
type rowElement struct {
	Metric    json.RawMessage `json:"metric"`
	Value     *point          `json:"value"`
	Histogram json.RawMessage `json:"histogram"`
}

// decodeRows reads an answer about many apps, which it keeps only for the apps
// that are wanted. Elements without the label belong to no app. The label of
// Machines is empty for a query that has one row for each app.
func decodeRows(body []byte, label, machine string, wanted map[scale.App]bool) (rows, error) {
	var resp response
	err := resp.unmarshal(body)
	r := rows{warnings: resp.Warnings}
	switch {
	case err != nil:
		return r, err
	case resp.Data.ResultType != "vector":
		_, err := single(resp.Data.ResultType, resp.Data.Result)
		if err == nil {
			err = fmt.Errorf("the query returned a %s without labels, not series for each app", resp.Data.ResultType)
		}
		return r, err
	}
	r.byApp = make(map[scale.App]*row, len(wanted))
	set := map[string]string{}
	err = eachElement(resp.Data.Result, func(e rowElement) error {
		clear(set)
		if err := json.Unmarshal(e.Metric, &set); len(e.Metric) > 0 && err != nil {
			return fmt.Errorf("%w: the labels of an element cannot be read", errNotAPI)
		}
		app := scale.App(set[label])
		if app == "" {
			r.nameless++
			return nil
		}
		r.named++
		if e.Value != nil {
			r.at = e.Value.at
		}
		if !wanted[app] {
			return nil
		}
		if r.byApp[app] == nil {
			r.byApp[app] = newRow(e)
		}
		if machine != "" {
			r.byApp[app].addMachine(machine, set, e)
			return nil
		}
		r.byApp[app].metrics = append(r.byApp[app].metrics, e.Metric)
		return nil
	})
	return r, err
}

// eachElement reads a vector element by element.
func eachElement(vector json.RawMessage, do func(rowElement) error) error {
	elements := json.NewDecoder(bytes.NewReader(vector))
	if start, err := elements.Token(); err != nil || start != json.Delim('[') {
		return fmt.Errorf("%w: the vector cannot be read", errNotAPI)
	}
	for elements.More() {
		var e rowElement
		if err := elements.Decode(&e); err != nil {
			return fmt.Errorf("%w: an element of the vector cannot be read", errNotAPI)
		}
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

func newRow(e rowElement) *row {
	switch {
	case e.Value != nil:
		return &row{point: *e.Value}
	case e.Histogram != nil:
		return &row{err: errHistogram}
	}
	return &row{err: fmt.Errorf("%w: the element of the vector has no value", errNotAPI)}
}

// read returns what the answer says about an app, as decode would of an answer
// about that app alone.
func (r *rows) read(app scale.App, label string, absent *float64) (reading, error) {
	found := r.byApp[app]
	switch {
	case found == nil && absent != nil:
		return reading{value: *absent, at: r.at, answered: r.answered}, nil
	case found == nil:
		return reading{at: r.at}, fmt.Errorf("%w: the query returned no series for the app", source.ErrEmpty)
	case found.machines != nil:
		of, err := found.machines.reading()
		of.answered = r.answered
		return of, err
	case len(found.metrics) > 1:
		return reading{at: r.at}, severalRows(found.metrics, label)
	case found.err != nil:
		return reading{at: r.at}, found.err
	}
	return reading{value: found.point.value, at: found.point.at, answered: r.answered}, source.CheckValue(found.point.value)
}

// severalRows says that there are several values for an app, without the label
// by which the app was found.
func severalRows(metrics []json.RawMessage, label string) error {
	elements := make([]element, len(metrics))
	for i, metric := range metrics {
		if err := json.Unmarshal(metric, &elements[i].Metric); err != nil {
			return errors.New("the query returned several series, whose labels cannot be read")
		}
		delete(elements[i].Metric, label)
	}
	return ambiguous(elements)
}
