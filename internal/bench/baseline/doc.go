// Package baseline is what a good engineer would build in a week in place of the service: PostgreSQL that keeps one JSONB
// document for each node and type, with a GIN index over the documents. The service is measured against it, both behind
// a server that reads requests and verifies their signatures.
//
// Begin with Create, which makes the table and its indexes in a database, then New; Server.Answer takes the same bodies as
// the service for PutInventory, ListInventoryEntries and GetInventory. The functions on databases are for the benchmark
// around it.
//
// It is given every advantage that its design allows: prepared statements and a pool, a report in one transaction of at
// most two round trips, contents whose hash is stored already left alone and those reported as hashes alone touched by a
// single statement, bodies scanned only as far as PostgreSQL does not scan them again, and plans made for the values
// asked for. It checks no constraint, keeps no schema and no feed of changes, and matches in exact
// case; all of that spares it work.
//
// It answers only what the benchmark asks. It is no product: nothing here is safe to show to a network.
package baseline
