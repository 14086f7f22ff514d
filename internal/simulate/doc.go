// Package simulate makes a fleet of nodes that are not there, for the demo and the benchmarks: what each would report, in
// any round, as items or as the bytes of a PutInventory body.
//
// Begin with New; Fleet.Report gives one node's report of one round in full, Fleet.Slim the same as an agent sends it,
// with the content of what is unchanged left out, Fleet.Hashes with none; Report.AppendPutInventory gives the body.
//
// Promises: everything follows from the seed, byte for byte, at every run and on every machine: a report is computed
// from (seed, node, round) alone, in any order, from any goroutine. A node has about 600 entries of five types and
// 150 to 250 KB of JSON; 95 % of reports after the first are unchanged, the others change 2 to 10 entries. Packages are
// real names of the Debian archive, drawn so that few are common and very many are rare; nearly no two nodes share a
// time of installation.
//
// It sends nothing and holds no state. AWS:Service is a Windows type in truth; it is here for its weight and shape.
package simulate
