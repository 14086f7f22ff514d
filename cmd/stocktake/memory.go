package main

import (
	"math"
	"os"
	"runtime/debug"
)

// roomyGC is how much garbage, in percent of what is in use, a service may gather that was told how much memory it has.
const roomyGC = 300

// useMemory has the service spend the memory it was given by GOMEMLIMIT on collecting garbage less often, which was some
// tenth of a report's CPU time in a profile. The limit holds as before, and GOGC, where it is set, is the operator's word.
func useMemory() {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(roomyGC)
	}
}
