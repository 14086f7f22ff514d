// Package bench drives a server over its API with a simulated fleet, and measures it: how fast it takes reports, how long
// questions take, what both cost it in processor time, memory and disk, and how soon it answers after a start.
//
// Begin with Run, which does all of it and gives a Result; Result.Table prints one for people, and its JSON is for
// programs. The caller says how to start and stop the server (Control), or gives one that runs (Fixed).
//
// Promises: every answer is held against the simulation, which is counted again by a plain scan here; a wrong one fails
// the run, so that no figure is one of a server that is fast and wrong. Everything but time follows from the seed. Bodies
// are made before the clock runs. Whatever a question is asked about changes before each time it is asked, so that no
// answer comes out of a server's memory of the one before; rows that measure just that say so.
//
// It starts no process and writes no file. The client and the server share the machine: rates are of both together, the
// processor time is the server's alone.
package bench
