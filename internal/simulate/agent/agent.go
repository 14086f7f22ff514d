package agent

import (
	"context"
	"crypto/rsa"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
)

// Config is what an agent is told, by its configuration file and by the machine it is on.
type Config struct {
	Endpoint string // of ssm and of ec2messages: a URL
	Region   string
	// Client sends the calls to ssm, and Messages the polls of ec2messages, over HTTP/1.1 in the stock agent. Both are
	// http.DefaultClient when nil.
	Client, Messages *http.Client
	// Key signs everything where there is no activation (the CustomIdentity of the stock agent). Empty: the node's role does.
	Key sigv4.Credentials
	// Machine is what the heartbeat tells.
	Machine Machine
	// Gather gives what a run finds, with hashes and content, from run 0. Types that the document does not ask for are left out.
	Gather func(run int) []inventory.Item
	// NewKey makes the pair of a rotation; nil: the agent has none to offer, and crashes when asked for one.
	NewKey func() *rsa.PrivateKey
	// Hang says whether a run never ends: its worker hangs after it reported InProgress. nil: none does.
	Hang func(run int) bool
	// Observe is told of each attempt of each call, and may be called by two goroutines at once; nil: nobody is.
	Observe func(Attempt)
	// Speed divides every wait of the agent's own, but for the time a poll for messages may take; 0: 1.
	Speed float64
	// Start is the time before the first call of Run, and Seed that of all random waits.
	Start time.Duration
	Seed  uint64
}

// Machine is what the heartbeat tells of the machine.
type Machine struct{ ComputerName, IPAddress, PlatformName, PlatformVersion, AgentVersion string }

// Attempt is one attempt of a call.
type Attempt struct {
	Action string // bare: GetMessages
	Code   string // of an error answer; "" when there was none
	Status int    // of HTTP; 0: there was no answer
	Err    error  // why there was none
	Began  time.Time
	Took   time.Duration
}

// Disk is what an agent keeps over a restart.
type Disk struct {
	Node        string
	Fingerprint string
	Key         *rsa.PrivateKey // of the node; nil where Config.Key signs

	mu     sync.Mutex
	hashes map[inventory.TypeName]string // of what the service took last
	// complianceHash is that of the compliance items it took last.
	complianceHash string
}

// Counts is what an agent has done since it was made.
type Counts struct {
	Heartbeats, Polls, Messages, Tokens, Rotations, Hibernations int64
	Runs, Failed, Stuck                                          int64 // runs that ended, of which failed; runs given up after two hours
	Full, HashOnly, Again                                        int64 // items with and without content; reports sent a second time
	Fallbacks                                                    int64 // to the calls of older agents
}

// Agent is one agent. Run and Register are called once, and not at the same time; the other methods by any goroutine.
type Agent struct {
	config Config
	disk   *Disk
	random *rand.Rand // of the main goroutine

	mu   sync.Mutex
	role role

	wake    chan struct{}
	refresh chan struct{} // a message asks for a poll of associations

	heartbeats, polls, messages, tokens, rotations, hibernations, runs, failed, stuck, full, hashOnly, again, fallbacks atomic.Int64

	documents map[string]document // by association; the process remembers them
	due       []task              // runs to come, the soonest first
	number    int                 // of the next run
}

// New makes an agent of what is on its disk.
func New(c Config, d *Disk) *Agent {
	if c.Speed == 0 {
		c.Speed = 1
	}
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	if c.Messages == nil {
		c.Messages = http.DefaultClient
	}
	if d.hashes == nil {
		d.hashes = map[inventory.TypeName]string{}
	}
	return &Agent{
		config: c, disk: d, random: rand.New(rand.NewPCG(c.Seed, 1)), documents: map[string]document{},
		wake: make(chan struct{}, 1), refresh: make(chan struct{}, 1),
	}
}

// Counts gives what the agent has done so far.
func (a *Agent) Counts() Counts {
	return Counts{
		Heartbeats: a.heartbeats.Load(), Polls: a.polls.Load(), Messages: a.messages.Load(), Tokens: a.tokens.Load(),
		Rotations: a.rotations.Load(), Hibernations: a.hibernations.Load(), Runs: a.runs.Load(), Failed: a.failed.Load(),
		Stuck: a.stuck.Load(), Full: a.full.Load(), HashOnly: a.hashOnly.Load(), Again: a.again.Load(), Fallbacks: a.fallbacks.Load(),
	}
}

// Wake has the agent send a heartbeat, poll its associations and report, all at once, as if it had been started anew.
func (a *Agent) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// The rhythm of the stock agent.
const (
	heartbeatEvery = 5 * time.Minute
	pollEvery      = 10 * time.Minute
	pollAgain      = 30 * time.Second // once, after a first list without associations
	mostJitter     = 30 * time.Second
)

// Run lives the agent's life until ctx ends, which is no error. Another error is a *Crash.
func (a *Agent) Run(ctx context.Context) error {
	err := a.run(ctx)
	if ctx.Err() != nil && !isCrash(err) {
		return nil
	}
	return err
}

func (a *Agent) run(ctx context.Context) error {
	if err := a.sleep(ctx, a.config.Start); err != nil {
		return err
	}
	if err := a.becomeRole(ctx); err != nil {
		return err
	}
	if err := a.hibernate(ctx); err != nil {
		return err
	}
	if err := a.heartbeat(ctx); isCrash(err) {
		return err
	}
	polling, stop := context.WithCancelCause(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop(nil)
	workers.Go(func() {
		if err := a.converse(polling); isCrash(err) {
			stop(err)
		}
	})
	workers.Go(func() { a.knock(polling) })
	err := a.serve(polling)
	if cause := context.Cause(polling); isCrash(cause) {
		return cause
	}
	return err
}

// serve does what is due, in the one order it becomes due.
func (a *Agent) serve(ctx context.Context) error {
	beat := time.Now().Add(a.jitter(heartbeatEvery))
	poll := time.Now().Add(a.jitter(mostJitter))
	first := true
	for {
		renew := a.renewAt()
		at := earliest(beat, poll, renew, a.nextRun())
		forced, err := a.await(ctx, at)
		if err != nil {
			return err
		}
		now := time.Now()
		if forced == awake || !now.Before(renew) {
			if !now.Before(renew) {
				err = a.becomeRole(ctx)
			}
		}
		if err == nil && (forced == awake || !now.Before(beat)) {
			beat = now.Add(a.scaled(heartbeatEvery))
			err = a.heartbeat(ctx)
		}
		if !isCrash(err) && (forced != asleep || !now.Before(poll)) {
			poll = now.Add(a.scaled(pollEvery))
			err = a.poll(ctx)
			if first && err == nil && len(a.due) == 0 {
				poll = now.Add(a.scaled(pollAgain))
			}
			first = false
		}
		if !isCrash(err) {
			err = a.runDue(ctx, forced == awake)
		}
		if isCrash(err) || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// reason is why a wait ended.
type reason int

const (
	asleep reason = iota // it was time
	asked                // a message asks for a poll
	awake                // Wake
)

func (a *Agent) await(ctx context.Context, until time.Time) (reason, error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return asleep, ctx.Err()
	case <-timer.C:
		return asleep, nil
	case <-a.refresh:
		return asked, nil
	case <-a.wake:
		return awake, nil
	}
}

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if !t.IsZero() && (t.Before(first) || first.IsZero()) {
			first = t
		}
	}
	return first
}

// scaled is a wait of the stock agent's, at this one's speed.
func (a *Agent) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / a.config.Speed)
}

// jitter is a random part of a wait, at the agent's speed. It is for the main goroutine alone.
func (a *Agent) jitter(most time.Duration) time.Duration {
	return time.Duration(a.random.Float64() * float64(a.scaled(most)))
}

func (a *Agent) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
