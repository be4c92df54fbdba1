// Package prometheus reads metrics from servers that speak the Prometheus query
// API: Prometheus itself, VictoriaMetrics, and the managed endpoint of Fly.io.
//
// It promises that a value is the single finite number that an instant query
// gave; an empty answer, several elements, text or NaN are never turned into a
// number. The app's name enters a query only as data. Credentials go to the
// configured host and nowhere else. It does not parse the query, so that any
// dialect works, does not cache, and does not retry: a reading is due again at
// the next pass anyway.
package prometheus
