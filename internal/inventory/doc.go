// Package inventory holds the nouns of the service and its pure rules: node and type names, items, entries and their
// shapes, schemas, filters and aggregators, the one fold and the one order of values, limits, and the Error every room
// speaks. It does no I/O and reads no clock.
//
// Begin with Item (what a node reports), Document (what is kept of it) and Change (what the feed says of it); questions
// begin with ParseFilters and ParseAggregators, which turn what a caller wrote into values that are checked once and
// never interpreted again.
//
// Promises: every function is deterministic; values of these types are not changed after they are handed on; the fold
// and the order of values here are the only ones in the program, so matching, counting and paging agree everywhere.
package inventory
