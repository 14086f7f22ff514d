// Package agent is a stock agent that is not there: it makes the calls that amazon-ssm-agent 3.3 makes around inventory, in
// the same order, form and rhythm, and falls over what that agent falls over.
//
// Begin with New, register with Agent.Register where the node comes by an activation, then call Agent.Run, which returns
// when its context ends or when the agent has crashed. What an agent keeps on its disk is a Disk; a second agent made of
// the same Disk is the first one started anew. Counts tells what it has done so far.
//
// Promises: every answer is read for the members that the stock agent dereferences, and one that lacks any ends Run with a
// *Crash; calls are repeated after the pauses of the agent's SDK; registration goes unsigned, calls for the role by the
// node's key pair in chunked bodies, all others by the role's credentials. Time is that of package time, so that in a
// bubble of testing/synctest days pass in a second; outside of one, Config.Speed makes the agent's own waits shorter.
//
// It knows nothing of the service's own code for these messages: they are written and read here a second time, so that a
// mistake in one is no mistake in both. It follows schedules by rate; one by cron counts as due at each poll.
package agent
