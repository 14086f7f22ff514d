// Package agent holds the rows and rules of what managed nodes speak beyond the public API, as the stock agent speaks it:
// how a machine registers and gets its credentials, and the rules of who may; heartbeats; what a node is to run; and the
// polls for messages, of which there are none.
//
// [Rows] gives the rows, for awsjson to serve beside those of api; [Keys] gives awsjson what the nodes' requests are
// verified by. Both are over the one service. [WithoutChannel] refuses what agents ask for besides.
//
// Promises: no answer lacks a member that the stock agent reads without looking; what is the server's fault is never told
// as the caller's, for the agent would give up on it; neither a code nor a key nor a token is ever logged.
//
// It keeps no state but who registered how often. What the public clients call too is in api, whatever agents make of it.
package agent

import (
	"log/slog"
	"slices"

	"stocktake/internal/awsjson"
	"stocktake/internal/ssm"
)

// Config is what an operator chooses of this room.
type Config struct {
	// RegistrationRate is how many registrations a source may ask for each second in the long run, after a burst of 20
	// times as many; 0 means DefaultRegistrationRate.
	RegistrationRate int
	// Log gets a line for each registration; nil: slog.Default().
	Log *slog.Logger
}

// DefaultRegistrationRate is the rate of registrations of a source, each second, unless Config says otherwise.
const DefaultRegistrationRate = 50

// Rows gives the rows of what agents alone call, over a service.
func Rows(service *ssm.Service, c Config) []awsjson.Row {
	if c.RegistrationRate == 0 {
		c.RegistrationRate = DefaultRegistrationRate
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	rows := slices.Concat(registrationRows(service, c), associationRows(service), heartbeatRows(service), messageRows(service))
	for i := range rows {
		if rows[i].Kind == awsjson.ByAccess {
			rows[i].Kind = awsjson.Report
		}
	}
	return rows
}
