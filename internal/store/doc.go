// Package store is the contract for what must outlive the process: values under
// keys, with compare-and-set, and streams of records that are kept for a while.
// Whoever remembers (memories of targets, the journal) speaks to it; what is
// behind it, a folder of files, a cluster, or plain memory, is chosen where the
// program is put together. Package storetest says by tests what each must do.
//
// Promises, for every implementation:
//
//   - A write that returned without an error is there for every later read, also
//     when the process is killed right after, unless the store is one of memory.
//   - Every call ends within its context and the store's own time limit. A store
//     that does not answer, or whose disk is full, gives ErrUnavailable; once that
//     is known, without delay. Such a write may have taken effect, or may yet.
//   - All methods may be called from many goroutines. Bytes that are handed in or
//     out are copies, or are never written to again.
//
// It does not promise that nothing is ever lost: all users do without.
package store
