// Package prometheus reads metrics from servers that speak the Prometheus query
// API: Prometheus itself, VictoriaMetrics, and the managed endpoint of Fly.io.
//
// It promises that a value is the single finite number that an instant query
// gave; an empty answer, one that says it is partial, several elements, text or
// NaN are never turned into a number. The app's name enters a query only as data. Credentials go to the
// configured host and nowhere else.
//
// A query about one app is asked once for many apps where that is the same; see
// Group for when it is. The first answers are compared with the user's own query
// all the same, and what one app spoils is found and asked for apart. A query
// that cannot be understood is sent as it is, so that any dialect works.
//
// It does not cache, and asks again neither for what it could not get nor for
// what it got: a reading is due again at the next pass anyway.
package prometheus
