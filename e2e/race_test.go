//go:build race

package e2e

// raceEnabled has services built with the race detector when the tests are (see racedBinary).
const raceEnabled = true
