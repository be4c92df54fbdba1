// Package flyapi is the client of the Fly.io platform: the Machines REST API,
// and the three GraphQL queries for which the REST API has no equivalent. It
// turns wire answers into values of package scale.
//
// It promises:
//
//   - Every call takes a context and returns soon after it ends. One try lasts
//     at most Config.AttemptTimeout, so a server that hangs costs one try.
//   - Every error is an *Error whose Kind says what may be done about it. In
//     particular KindUnknown means that a change may or may not have happened:
//     look again, never repeat blindly.
//   - Reads, and changes that are the same when done twice, are tried up to
//     three times. A create and the taking of a lease are repeated only when the
//     platform certainly did not act on the first request.
//   - Requests keep to the platform's documented rates, so that an ordinary day
//     brings no 429.
//   - A Machine's configuration is kept byte for byte as received, and a clone of
//     it (CloneConfig) differs only in the keys that must differ.
//   - No error text holds the API token or a lease nonce.
//
// It does not cache, decide or wait for a Machine to reach a state, and it
// starts no goroutine of its own.
package flyapi
