// Package index is the fleet in memory: for each partition and type the shapes nodes have, and plans that answer filters
// and counts from them without reading documents.
//
// Begin with New (or ReadSnapshot), fill it with Missing, Define and Load, keep it current with Apply, and ask it with
// Query and Aggregate. All methods may be called at any time from any goroutine, with one exception: Sweep renumbers
// shapes, so what Missing said before a Sweep need not hold after it.
//
// Promises:
//   - An answer is that of a plain scan of every document by inventory's rules (TypeQuestion.MatchEntries), volatile
//     attributes included; where shapes can't tell, documents are read through Documents, candidates only, and of a page
//     only as many as the page needs.
//   - Apply is idempotent: loading a shard at a position or later and then applying every change after that position, in
//     order, gives the state of the newest change, whatever was loaded twice.
//   - A Result stays what it was when it was made, whatever is applied after.
//   - Snapshots read back as what they were written from, or not at all.
//
// Locks: each partition has one read-write lock. Apply and Load hold it for one change or node; longer work lets it go
// after a fraction of a millisecond, and yields to who waits. A question holds it for reading while its values are
// looked up; its sets are joined under it only when that is little work, else on a frozen view, which shares memory
// with the live tables and is copied from page by page by later writes. Aggregates and snapshots always work on frozen
// views; sorting works on values, which never change. So no hold lasts a millisecond, BenchmarkStall tells; the end of
// Bulk is the exception, and nobody asks before it.
//
// It refuses to do I/O, to know schemas, and to enforce limits on what is applied: what is committed is the truth. Fits
// answers whether a report still fits, before it is committed.
package index
