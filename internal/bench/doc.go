// Package bench drives servers over their API with a simulated fleet, side by side, and measures them: how fast they take
// reports, how long questions take, also while reports come, what both cost in processor time, memory, allocations and
// disk, and how soon a server answers after a start.
//
// Begin with Run, which does all of it and gives a Result; Result.Table prints it for people, Report.Page makes a page with
// charts of one or several, and their JSON is for programs. The caller says what the sides are, and how each is started and stopped (Control), or gives one that runs
// (Fixed). Sides of kind Floor answer nothing true: they show what HTTP alone costs.
//
// Promises: the sides are sent the same requests, each in its turn in every round. Every answer is held against the
// simulation, which is counted again by a plain scan here; a wrong one fails the run, so that no figure is one of a server
// that is fast and wrong. Everything but time follows from the seed. Bodies are made, and reports signed, before the clock
// runs. Something changes before each time a question is asked, so that no answer comes out of a server's memory of the
// one before; rows that measure just that say so. Reports at a fixed rate are sent when they are due, and their time counts
// from then, however late they were sent.
//
// It starts no process, and writes no file but those it measures fsync by. The clients and the servers share the machine:
// rates are of both together, the processor time is the server's and its database's alone.
package bench
