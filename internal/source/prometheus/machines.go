package prometheus

import (
	"encoding/json"
	"fmt"

	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
	"github.com/fly-autoscaler/fly-autoscaler/internal/source"
)

// machineRows adds up the rows of one app in an answer by Machine.
type machineRows struct {
	label    string
	sum      reading
	nameless int // rows without the label
	err      error
}

// addMachine takes in an element about the row's app, with the given labels.
func (r *row) addMachine(label string, set map[string]string, e rowElement) {
	if r.machines == nil {
		r.machines = &machineRows{label: label}
	}
	r.machines.add(scale.MachineID(set[label]), newRow(e))
}

// add takes in the row of a Machine; of several of one Machine it is the sum.
func (m *machineRows) add(id scale.MachineID, r *row) {
	if id == "" {
		m.nameless++
		return
	}
	err := r.err
	if err == nil {
		err = source.CheckValue(r.point.value)
	}
	if err != nil {
		m.err = fmt.Errorf("of Machine %s: %w", source.Printable(string(id), maxShownSet), err)
		return
	}
	if m.sum.machines == nil {
		m.sum.machines = map[scale.MachineID]float64{}
	}
	m.sum.machines[id] += r.point.value
	m.sum.value += r.point.value
	m.sum.at = r.point.at
}

// reading returns what the rows say. One without a value spoils the others: it may
// be that of the only busy Machine.
func (m *machineRows) reading() (reading, error) {
	switch {
	case m.err != nil:
		return reading{at: m.sum.at}, m.err
	case m.sum.machines == nil && m.nameless > 0:
		return reading{}, fmt.Errorf("none of the %d series that the query returned has the label %s; add it to by(…)", m.nameless, m.label)
	case m.sum.machines == nil:
		return reading{}, fmt.Errorf("%w: the query returned no series", source.ErrEmpty)
	}
	return m.sum, source.CheckValue(m.sum.value)
}

// decodeMachines is decode for a query by Machine.
func decodeMachines(body []byte, label string) (reading, error) {
	var resp response
	err := resp.unmarshal(body)
	r := reading{warnings: resp.Warnings}
	if err != nil {
		return r, err
	}
	if resp.Data.ResultType != "vector" {
		_, err := single(resp.Data.ResultType, resp.Data.Result)
		if err == nil {
			err = fmt.Errorf("the query returned a %s without labels, not series for each Machine", resp.Data.ResultType)
		}
		return r, err
	}
	of := machineRows{label: label}
	set := map[string]string{}
	err = eachElement(resp.Data.Result, func(e rowElement) error {
		clear(set)
		if err := json.Unmarshal(e.Metric, &set); len(e.Metric) > 0 && err != nil {
			return fmt.Errorf("%w: the labels of an element cannot be read", errNotAPI)
		}
		of.add(scale.MachineID(set[label]), newRow(e))
		return nil
	})
	if err != nil {
		return r, err
	}
	r, err = of.reading()
	r.warnings = resp.Warnings
	return r, err
}
