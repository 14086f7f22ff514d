// Package pebble is the embedded store: the contract of package store over a Pebble LSM tree in one directory of one
// process.
//
// Begin with Open. One goroutine, the committer, takes all commits that wait, checks each one's condition, gives out
// sequences and writes them as one batch with one fsync; while it waits for the disk the next batch gathers. Encoding is
// done by the callers. Readers work on a view: a snapshot taken after the fsync, so nothing is ever read that a crash
// could take back.
//
// Promises beyond the contract:
//   - A write is acknowledged only after the fsync that holds it. After a failed fsync (or any other failed write that
//     Pebble cannot take back) nothing is written or removed any more: the store says so in its log, refuses writes with
//     an error that tells the reason, and goes on answering reads from what is durable. A restart recovers. Pages that a
//     kernel dropped are so never mistaken for written ones.
//   - On a full disk writes are refused with an error; reads go on; writing resumes by itself when there is room. What
//     makes room goes on for as long as the last 64 MiB are not taken by others: removals, prunes, sweeps.
//   - On a disk that does not answer nobody waits longer than 10 seconds to write: writes are refused from then on until
//     it does (inventory.Throttling: nothing was written; ErrUnavailable: it may have been), and as soon as a batch is slow
//     no more than 256 writers a core may wait. Reads go on.
//   - Damage is found by the checksums on every block and record and reported as store.ErrCorrupt with the file's or the
//     record's name; the rest stays readable.
//
// Names of shapes are 16 bytes, and a document names hundreds, so the store numbers them: within a partition and type
// each shape has a number, documents and changes hold numbers, and the numbers of all shapes are in memory (about 30
// bytes a shape). A number is not given to another shape before a restart after its own was swept.
//
// Records and small documents that were read lately are kept in memory as they are stored, 16 MiB of them: a page of nodes
// is mostly those. The committer keeps them exact, and a reader is given only what its view shows.
//
// A clean stop removes the logs and seals the manifest; see seal.go. Stores of an older format are read as they are, and
// become ones of this one, see formatVersion, with the first batch that is written.
//
// It refuses to share its directory, to open a format newer than its own, and to repair: damaged data is for a backup.
package pebble
