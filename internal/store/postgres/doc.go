// Package postgres is the store in a PostgreSQL database, or in a Citus cluster: the contract of package store for any
// number of servers of one truth.
//
// Begin with Migrate, which makes the tables, and Open. A server's calls are combined: unchanged reports that wait at the
// same time share one statement, reads of nodes another, and commits of one shard a transaction, while the one before
// is under way. Everything that must be seen together is of one shard, and so of one transaction and, under Citus, of one
// worker.
//
// Promises beyond the contract:
//   - Sequences are given under the lock of the shard's head row, so a reader sees them without gaps and in order, and a
//     commit is in the feed for every server the moment it is acknowledged.
//   - While the database does not answer, calls go on trying for Options.Patience and then fail with
//     store.ErrUnavailable, which names the reason; nothing is needed to go on once it is back. A try whose outcome is
//     not known is made again so that it takes effect once: revisions, change ids and the ids of records' writes are
//     drawn before the first try, and looked for by the next.
//   - A commit that the primary has but that no standby confirmed, though one should, is not acknowledged.
//   - What a server remembers never makes it wrong, also when a standby that lagged is promoted and history goes back:
//     see shape.go. For this, connections must be the server's own; a pooler that hands them out by the transaction is
//     not supported.
//   - A node's revision is random, not counted, so a revision of a history that was lost is never met again.
//
// Tables are those of migrations/, in the schema stocktake. They ask for no superuser and no extension, and have no
// triggers, sequences or foreign keys; all statements are among those Citus accepts, and each can be made again. Large
// values are as short as they get when they are handed over; the tables tell PostgreSQL not to try.
//
// It refuses tables of a version it does not know, and says which command helps.
package postgres
