package bench

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/client"
	"stocktake/internal/inventory"
	"stocktake/internal/simulate"
	"stocktake/internal/simulate/agent"
)

// AgentsOptions is a run with simulated agents.
type AgentsOptions struct {
	Agents   int           // how many
	For      time.Duration // how long they are measured, after all have registered
	Packages int           // on each
	Seed     uint64
	Keys     int // key pairs that the agents share: the service tells nodes apart by their fingerprints too
	Region   string
	Speed    float64 // divides the agents' waits, as in agent.Config; 0: 1
	// Part is how long the parts are that the measured time is told by; 0: an hour. Time beyond a day, with its samples of
	// memory, shows whether anything grows.
	Part time.Duration
	// Start starts the server, or again after Kill; Kill ends it as kill -9 does. A server that runs already has no Kill,
	// and is not started anew.
	Start func(ctx context.Context) (Server, error)
	Kill  func() error
	// Progress is told what begins.
	Progress func(what string)
}

const (
	// registerRate is how many agents begin each second.
	registerRate = 80
	// reportEvery is how often each agent reports: once in so long, all of them evenly spread.
	reportEvery = 30 * time.Minute
	// patienceFor bounds the time in which all agents have to register, or to come back.
	patienceFor = 10 * time.Minute
	// slots is the most one activation registers.
	slots = 1000
)

// agents is a run under way.
type agents struct {
	AgentsOptions
	server  Server
	network *network
	record  *record
	keys    []*rsa.PrivateKey
	nodes   *simulate.Fleet
	reports [][]inventory.Item // of the first day
	fleet   []*one
	crashed chan error
	result  *AgentsResult
}

// one is an agent of the run.
type one struct {
	*agent.Agent
	disk  *agent.Disk
	beats atomic.Int64 // answered so far
}

// RunAgents registers the agents, has them poll and report on their schedules for the time, kills the server, starts it
// again, and waits until all are back. The error says that the run itself failed; what the service did until then is in the
// result, nil where nothing began.
func RunAgents(ctx context.Context, o AgentsOptions) (*AgentsResult, error) {
	a := &agents{AgentsOptions: o, record: newRecord(), crashed: make(chan error, 1), result: &AgentsResult{
		Date: time.Now().UTC().Truncate(time.Second), Machine: describeMachine(), Agents: o.Agents, Packages: o.Packages, Seconds: o.For.Seconds(),
	}}
	if a.Part == 0 {
		a.Part = time.Hour
	}
	if a.Progress == nil {
		a.Progress = func(string) {}
	}
	if err := a.prepare(); err != nil {
		return nil, err
	}
	var err error
	if a.server, err = o.Start(ctx); err != nil {
		return nil, err
	}
	a.network = newNetwork(o.Agents, a.server.Address)
	living, end := context.WithCancel(ctx)
	var lives sync.WaitGroup
	defer lives.Wait()
	defer end()
	for _, phase := range []func(context.Context) error{
		func(ctx context.Context) error { return a.begin(ctx, living, &lives) }, a.steady, a.herd, a.count,
	} {
		if err := phase(ctx); err != nil {
			if p := a.record.now.Load(); len(a.result.Phases) == 0 || a.result.Phases[len(a.result.Phases)-1].Name != p.Name {
				a.finish(p)
			}
			return a.result, err
		}
	}
	return a.result, nil
}

// prepare makes what the agents share: key pairs, and inventories of the simulated fleet.
func (a *agents) prepare() error {
	if a.Agents < 1 || a.Packages < 1 || a.Keys < 1 || a.For <= 0 {
		return errors.New("agents, packages, keys and the time are more than 0")
	}
	a.Progress(fmt.Sprintf("making %d key pairs", a.Keys))
	for range a.Keys {
		key, err := client.NewKey()
		if err != nil {
			return err
		}
		a.keys = append(a.keys, key)
	}
	const most = 512 // different inventories
	a.nodes = simulate.New(a.Seed, min(a.Agents, most))
	for n := range a.nodes.Len() {
		a.reports = append(a.reports, a.gathered(n, 0))
	}
	return nil
}

// gathered is what a node finds on a day, from day 0: some nodes' packages change from one to the next.
func (a *agents) gathered(n, day int) []inventory.Item {
	items := a.nodes.Report(n, day).Items
	for i := range items {
		items[i].Content = items[i].Content[:min(len(items[i].Content), a.Packages)]
	}
	return items
}

// ask calls an action as an administrator.
func (a *agents) ask(ctx context.Context, action string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	text, err := a.server.Client.Do(ctx, action, body)
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	return err
}

// scheduledPhase is the part of a run that is measured.
const scheduledPhase = "on their schedules"

// activation is what agents register with.
type activation struct{ ActivationId, ActivationCode string } //nolint:revive,staticcheck // names on the wire

// administer makes the activations and the one association.
func (a *agents) administer(ctx context.Context) ([]activation, error) {
	all := make([]activation, (a.Agents+slots-1)/slots)
	for i := range all {
		request := map[string]any{"IamRole": "bench", "RegistrationLimit": slots}
		if err := a.ask(ctx, "CreateActivation", request, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, a.ask(ctx, "CreateAssociation", map[string]any{
		"Name": "AWS-GatherSoftwareInventory", "ScheduleExpression": fmt.Sprintf("rate(%d minutes)", int(reportEvery.Minutes())),
		"Targets": []map[string]any{{"Key": "InstanceIds", "Values": []string{"*"}}},
	}, nil)
}

// begin has all agents register, one after the other at a steady rate, and waits until each has reported.
func (a *agents) begin(ctx, living context.Context, lives *sync.WaitGroup) error {
	a.Progress(fmt.Sprintf("registering %d agents", a.Agents))
	activations, err := a.administer(ctx)
	if err != nil {
		return err
	}
	phase := a.record.begin("registering, first reports")
	began := time.Now()
	for n := range a.Agents {
		if err := until(ctx, began.Add(time.Duration(n)*time.Second/registerRate)); err != nil {
			return err
		}
		o := a.agent(n)
		a.fleet = append(a.fleet, o)
		lives.Go(func() { a.crash(a.live(living, o, activations[n%len(activations)])) })
	}
	if err := a.await(ctx, func(_ int, o *one) bool { return o.Counts().Runs > 0 }); err != nil {
		return err
	}
	phase.CPU = a.cpu().Seconds() // since its start
	a.finish(phase)
	return nil
}

// agent makes the agent of a number.
func (a *agents) agent(n int) *one {
	o := &one{disk: &agent.Disk{
		Fingerprint: fmt.Sprintf("%08x-0000-4000-8000-%012x", a.Seed&0xffffffff, n), Key: a.keys[n%len(a.keys)],
	}}
	calls, messages := a.network.clients(n)
	alike := n % len(a.reports)
	o.Agent = agent.New(agent.Config{
		Endpoint: "http://" + a.server.Address, Region: a.Region, Client: calls, Messages: messages, Seed: a.Seed + uint64(n), Speed: a.Speed,
		Machine: agent.Machine{
			ComputerName: fmt.Sprintf("node-%d.example.org", n), IPAddress: fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255),
			PlatformName: "Debian GNU/Linux", PlatformVersion: "12",
		},
		Gather: func(run int) []inventory.Item {
			if day := run / int(24*time.Hour/reportEvery); day > 0 {
				return a.gathered(alike, day)
			}
			return a.reports[alike]
		},
		Observe: func(t agent.Attempt) {
			if t.Action == "UpdateInstanceInformation" && t.Status == 200 {
				o.beats.Add(1)
			}
			a.record.note(t)
		},
	}, o.disk)
	return o
}

func (a *agents) live(ctx context.Context, o *one, by activation) error {
	err := o.Register(ctx, by.ActivationId, by.ActivationCode)
	if err == nil {
		return o.Run(ctx)
	}
	if ctx.Err() == nil {
		err = fmt.Errorf("registration: %w", err)
	}
	return err
}

// crash takes down the first agent that crashed, which ends the run.
func (a *agents) crash(err error) {
	if err != nil && !errors.Is(err, context.Canceled) { // which is the run's end
		select {
		case a.crashed <- err:
		default:
		}
	}
}

// await waits until something holds for all agents.
func (a *agents) await(ctx context.Context, holds func(n int, o *one) bool) error {
	deadline := time.Now().Add(patienceFor)
	for n := 0; n < len(a.fleet); {
		if holds(n, a.fleet[n]) {
			n++
			continue
		}
		select {
		case err := <-a.crashed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("agent %d of %d is not there within %v: %+v", n, len(a.fleet), patienceFor, a.fleet[n].Counts())
		}
	}
	return nil
}

func until(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// steady is the time that is measured: all agents poll and send heartbeats, and one after the other is started anew and
// reports, so that each would within reportEvery.
func (a *agents) steady(ctx context.Context) error {
	a.Progress(fmt.Sprintf("measuring for %v", a.For))
	s := &schedule{
		began: time.Now(), every: reportEvery / time.Duration(a.Agents), sample: min(a.For/10, a.Part/2),
		order: rand.New(rand.NewPCG(a.Seed, 2)).Perm(a.Agents),
	}
	for part := time.Duration(0); part*a.Part < a.For; part++ {
		name := scheduledPhase
		if a.For > a.Part {
			name = fmt.Sprintf("%s, part %d", scheduledPhase, part+1)
		}
		if err := a.part(ctx, s, name, min((part+1)*a.Part, a.For)); err != nil {
			return err
		}
	}
	return nil
}

// schedule is whom to wake and when to look at the memory, over all parts.
type schedule struct {
	began         time.Time
	every, sample time.Duration
	order         []int
	woken         int // agents, all rounds together
	sampled       int
}

// part is what is measured until so long after the begin.
func (a *agents) part(ctx context.Context, s *schedule, name string, end time.Duration) error {
	phase, cpu := a.record.begin(name), a.cpu()
	for time.Since(s.began) < end {
		wake := s.began.Add(time.Duration(s.woken+1) * s.every)
		look := s.began.Add(time.Duration(s.sampled+1) * s.sample)
		next := s.began.Add(end)
		for _, at := range []time.Time{wake, look} {
			if at.Before(next) {
				next = at
			}
		}
		if err := until(ctx, next); err != nil {
			return err
		}
		if !time.Now().Before(look) {
			a.sample(s.began)
			s.sampled++
		}
		if !time.Now().Before(wake) {
			a.fleet[s.order[s.woken%a.Agents]].Wake()
			s.woken++
		}
		select {
		case err := <-a.crashed:
			return err
		default:
		}
	}
	phase.CPU = (a.cpu() - cpu).Seconds()
	a.finish(phase)
	return nil
}

func (a *agents) cpu() time.Duration {
	if a.server.CPU == nil {
		return 0
	}
	return a.server.CPU()
}

// sample takes down the server's memory as it is now.
func (a *agents) sample(began time.Time) {
	peak, resident := memoryOf(a.server.PID)
	s := MemorySample{Seconds: time.Since(began).Seconds(), Peak: peak, Resident: resident}
	if values, err := (&run{server: a.server, side: new(Side)}).metrics(context.Background()); err == nil { // without them it goes too
		s.Live, s.Connections = int64(values["go_gc_heap_live_bytes"]), int64(values["stocktake_connections"])
	}
	a.result.Memory = append(a.result.Memory, s)
}

func (a *agents) finish(p *phase) { a.result.Phases = append(a.result.Phases, p.result()) }

// herd kills the server under all agents and lets them come back at once: every one sends a heartbeat, polls and reports
// the moment the server answers again.
func (a *agents) herd(ctx context.Context) error {
	if a.Kill == nil {
		return nil
	}
	a.Progress("killing the server, for all agents to come back at once")
	phase := a.record.begin("all at once after kill -9")
	if err := a.Kill(); err != nil {
		return err
	}
	before := make([]agent.Counts, len(a.fleet))
	beats := make([]int64, len(a.fleet))
	for n, o := range a.fleet {
		before[n], beats[n] = o.Counts(), o.beats.Load()
	}
	var err error
	if a.server, err = a.Start(ctx); err != nil {
		return err
	}
	back := time.Now()
	cpu := a.cpu()
	for _, o := range a.fleet {
		o.Wake()
	}
	if err := a.await(ctx, func(n int, o *one) bool { return o.beats.Load() > beats[n] }); err != nil {
		return err
	}
	a.result.Heard = time.Since(back).Seconds()
	if err := a.await(ctx, func(n int, o *one) bool {
		c := o.Counts()
		return c.Polls > before[n].Polls && c.Runs > before[n].Runs && c.Messages > before[n].Messages
	}); err != nil {
		return err
	}
	a.result.Back = time.Since(back).Seconds()
	phase.CPU = (a.cpu() - cpu).Seconds()
	a.finish(phase)
	a.sample(back)
	return nil
}

// count asks the service for all of its nodes, and holds them against the agents.
func (a *agents) count(ctx context.Context) error {
	a.Progress("counting the nodes")
	states := map[string]string{}
	request := map[string]any{"MaxResults": 50}
	for {
		var page struct {
			InstanceInformationList []struct{ InstanceId, PingStatus string } //nolint:revive,staticcheck // names on the wire
			NextToken               string
		}
		if err := a.ask(ctx, "DescribeInstanceInformation", request, &page); err != nil {
			return err
		}
		for _, node := range page.InstanceInformationList {
			states[node.InstanceId] = node.PingStatus
		}
		if page.NextToken == "" {
			break
		}
		request["NextToken"] = page.NextToken
	}
	for _, o := range a.fleet {
		switch states[o.disk.Node] {
		case "Online":
			a.result.Online++
		case "":
			a.result.Missing++
		default:
			a.result.Lost++
		}
		c := o.Counts()
		a.result.Runs += c.Runs
		a.result.FailedRuns += c.Failed
		a.result.Again += c.Again
	}
	return nil
}
