// Package journal is the record of passes: what each saw, decided and did. An entry
// holds all that went into its decision, so that the pass can be decided again, by
// the same rules or by others, long after it was made.
//
// A Pace says which passes are worth an entry. A Journal appends entries to a
// stream of the store and reads them back: by number, by filter, or as they come.
// Replay decides an entry again and tells whether the same comes out.
//
// This package does not decide and does not know what settings and memory look
// like: it keeps their JSON as it was given. Of a Machine it keeps what decisions
// look at, and neither its configuration nor metadata that users wrote, so that no
// secret of an app gets into a journal.
package journal
