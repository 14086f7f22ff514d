package agent_test

import (
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/pgtest"
	"stocktake/internal/simulate/agent"
	"stocktake/internal/store/storetest/stores"
)

var every = flag.Bool("every", false, "live over every kind of store in every way, not in each way once and over each store once")

// way is how an agent reaches its service.
type way struct {
	name           string
	secure, second bool
	stores         []string // that are lived over without -every
	whole          bool     // all that a life has, without -every
}

// lives runs a test in a world of its own, over http and over https, with HTTP/1.1 and with HTTP/2, and for every kind of
// store: what is between the two knows of neither, so that each way and each store once is enough for a day, and one whole
// life.
func lives(t *testing.T, test func(w *world, whole bool)) {
	t.Helper()
	pgtest.Shared(t) // outside of any bubble: its start waits for processes
	ways := []way{
		{"http", false, false, []string{"postgres"}, false},
		{"http, HTTP 2", false, true, []string{"memory"}, true},
		{"https", true, false, []string{"memory"}, false},
		{"https, HTTP 2", true, true, []string{"pebble"}, false},
	}
	for _, maker := range stores.All(4) {
		lived := false
		for _, way := range ways {
			if !*every && !slices.Contains(way.stores, maker.Name) {
				continue
			}
			lived = true
			t.Run(maker.Name+" over "+way.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, maker, way.secure, way.second)
					defer w.kill()
					test(w, *every || way.whole)
				})
			})
		}
		if !lived {
			t.Errorf("nobody lives over %s", maker.Name)
		}
	}
}

// TestLife is the life of a stock agent on one machine, from its registration to its end: the whole of it, or what of it
// the store and the way to the service play a part in.
func TestLife(t *testing.T) {
	lives(t, func(w *world, whole bool) {
		l := &life{machine: w.machine(1)}
		chapters := []func(){l.register, l.arrive, l.change, l.serverRestarts, l.deregister}
		if whole {
			chapters = []func(){
				l.register, l.arrive, l.settle, l.change, l.mistake, l.serverRestarts, l.rough, l.agentRestarts, l.hang, l.silence,
				l.runNow, l.deregister, l.fade,
			}
		}
		for _, chapter := range chapters {
			chapter()
			l.alive()
		}
		l.off()
	})
}

type life struct {
	*machine
	association string
}

func (l *life) register() {
	l.t.Helper()
	activation := l.admin("CreateActivation", map[string]any{"IamRole": "nodes"})
	association := l.admin("CreateAssociation", map[string]any{
		"Name": "AWS-GatherSoftwareInventory", "ScheduleExpression": "rate(30 minutes)",
		"Targets": []map[string]any{{"Key": "InstanceIds", "Values": []string{"*"}}},
	})
	l.association = association["AssociationDescription"].(map[string]any)["AssociationId"].(string)
	l.boot()
	id, code := activation["ActivationId"].(string), activation["ActivationCode"].(string)
	for range 2 { // the first answer may have been lost
		if err := l.agent.Register(l.t.Context(), id, code); err != nil {
			l.t.Fatal(err)
		}
	}
	if n := l.admin("DescribeActivations", nil)["ActivationList"].([]any)[0].(map[string]any)["RegistrationsCount"]; n != 1.0 {
		l.t.Errorf("the machine took %v slots", n)
	}
	l.run()
}

// pass lets time pass and gives what the agent did in it.
func (l *life) pass(d time.Duration) agent.Counts {
	before := l.agent.Counts()
	time.Sleep(d)
	after := l.agent.Counts()
	after.Heartbeats -= before.Heartbeats
	after.Polls -= before.Polls
	after.Runs -= before.Runs
	after.Full -= before.Full
	after.HashOnly -= before.HashOnly
	after.Again -= before.Again
	after.Failed -= before.Failed
	after.Stuck -= before.Stuck
	after.Messages -= before.Messages
	after.Tokens -= before.Tokens
	after.Fallbacks -= before.Fallbacks
	return after
}

// holds fails the test when the agent did other things than it should have in a time.
func (l *life) holds(what string, ok bool, c agent.Counts) {
	l.t.Helper()
	if !ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.t.Errorf("%s: %+v, with attempts %v", what, c, l.seen)
	}
}

// arrive is the first minutes: one report in full.
func (l *life) arrive() {
	l.t.Helper()
	c := l.pass(5 * time.Minute)
	l.holds("the first minutes", c.Runs == 1 && c.Full == 3 && c.Failed == 0, c)
}

// settle is the hours after: hashes; heartbeats, polls and credentials at their times.
func (l *life) settle() {
	l.t.Helper()
	c := l.pass(2*time.Hour + 5*time.Minute)
	l.holds("two hours", c.Runs == 4 && c.Full == 0 && c.HashOnly == 12 && c.Again == 0 && c.Failed == 0, c)
	l.holds("the rhythm", c.Heartbeats == 25 && c.Polls >= 12 && c.Polls <= 13 && c.Tokens == 4 && c.Messages > 480 && c.Messages < 600, c)
	l.is("Online", "Success", "1.0")
}

// is holds what administrators see of the node to what it should be.
func (l *life) is(ping, association, version string) {
	l.t.Helper()
	nodes := l.admin("DescribeInstanceInformation", nil)["InstanceInformationList"].([]any)
	if len(nodes) != 1 {
		l.t.Fatalf("%d nodes", len(nodes))
	}
	node := nodes[0].(map[string]any)
	if node["InstanceId"] != l.disk.Node || node["PingStatus"] != ping || node["ComputerName"] != "web1" || node["AgentVersion"] != "3.3.0.0" {
		l.t.Errorf("the node is %v, and should be %s", node, ping)
	}
	states := l.admin("DescribeInstanceAssociationsStatus", map[string]any{"InstanceId": l.disk.Node})["InstanceAssociationStatusInfos"].([]any)
	if len(states) != 1 || states[0].(map[string]any)["Status"] != association {
		l.t.Errorf("its associations are %v, and should be %s", states, association)
	}
	listed := l.admin("ListInventoryEntries", map[string]any{"InstanceId": l.disk.Node, "TypeName": "AWS:Application"})["Entries"].([]any)
	if len(listed) != 1 || listed[0].(map[string]any)["Version"] != version {
		l.t.Errorf("it has %v, and should have version %s", listed, version)
	}
}

// change is new software on the machine: its type goes in full, once.
func (l *life) change() {
	l.t.Helper()
	l.install("2.0")
	c := l.pass(time.Hour)
	l.holds("changed software", c.Runs == 2 && c.Full == 1 && c.HashOnly == 5, c)
	l.is("Online", "Success", "2.0")
}

// mistake is a service that has lost what the agent believes it has: everything goes again.
func (l *life) mistake() {
	l.t.Helper()
	l.admin("DeleteInventory", map[string]any{"TypeName": "Custom:RackInfo"})
	c := l.pass(time.Hour)
	l.holds("a deleted type", c.Runs == 2 && c.Again == 1 && c.Full == 3 && c.Failed == 0, c)
}

// serverRestarts is a service that dies, and comes back after some minutes.
func (l *life) serverRestarts() {
	l.t.Helper()
	l.again(7 * time.Minute)
	c := l.pass(time.Hour)
	l.holds("a restart of the service", c.Runs >= 1 && c.Full == 0 && c.Heartbeats >= 11, c)
	l.is("Online", "Success", "2.0")
}

// rough is an hour of a network that fails every fourth call in one way or another, and of connections that break.
func (l *life) rough() {
	l.t.Helper()
	l.weather.set(25, "")
	for range 6 {
		time.Sleep(10 * time.Minute)
		l.wires.breakAll()
		l.alive()
	}
	l.weather.set(0, "")
	if len(l.weather.struck) != 6 {
		l.t.Errorf("the weather was %v", l.weather.struck)
	}
	// When the service cannot be asked in the newer way, the agent asks in the older one.
	l.weather.set(100, "ListInstanceAssociations")
	c := l.pass(30 * time.Minute)
	l.holds("without its list of associations", c.Fallbacks > 0, c)
	l.weather.set(0, "")
	c = l.pass(time.Hour)
	l.holds("after the rough hour", c.Runs >= 1 && c.Failed == 0, c)
	l.is("Online", "Success", "2.0")
}

// agentRestarts is another process over the same disk: what ran is not run again at once.
func (l *life) agentRestarts() {
	l.t.Helper()
	l.off()
	time.Sleep(time.Minute)
	l.boot()
	l.run()
	c := l.pass(time.Hour)
	l.holds("a restart of the agent", c.Runs == 2 && c.Full == 0 && c.Failed == 0, c)
}

// hang is a run that never ends, which is given up after two hours.
func (l *life) hang() {
	l.t.Helper()
	l.mu.Lock()
	l.stuckNext = true
	l.mu.Unlock()
	c := l.pass(time.Hour)
	l.holds("a run that hangs", c.Runs <= 1 && c.Stuck == 0, c)
	c = l.pass(2 * time.Hour)
	l.holds("a run that is stuck", c.Stuck == 1, c)
	c = l.pass(time.Hour)
	l.holds("after a run that was stuck", c.Runs >= 1 && c.Failed == 0, c)
	l.is("Online", "Success", "2.0")
}

// silence is a machine that is off for an hour.
func (l *life) silence() {
	l.t.Helper()
	l.off()
	time.Sleep(time.Hour)
	l.is("ConnectionLost", "Success", "2.0")
	l.boot()
	l.run()
	l.pass(time.Hour)
	l.is("Online", "Success", "2.0")
}

// runNow is an administrator who does not want to wait.
func (l *life) runNow() {
	l.t.Helper()
	c := l.agent.Counts()
	for c.Runs == l.agent.Counts().Runs {
		time.Sleep(10 * time.Second) // until right after a run
	}
	l.install("3.0")
	l.admin("StartAssociationsOnce", map[string]any{"AssociationIds": []string{l.association}})
	c = l.pass(12 * time.Minute)
	l.holds("a run at once", c.Runs == 1 && c.Full == 1, c)
	l.is("Online", "Success", "3.0")
	if c := l.agent.Counts(); c.Tokens < 2 || c.Hibernations != 0 {
		l.t.Errorf("in all: %+v", c)
	}
	if l.keys < 2 {
		l.t.Errorf("%d key pairs were asked for", l.keys)
	}
}

// deregister is the node's end.
func (l *life) deregister() {
	l.t.Helper()
	l.admin("DeregisterManagedInstance", map[string]any{"InstanceId": l.disk.Node})
	if left := l.admin("DescribeInstanceInformation", nil)["InstanceInformationList"].([]any); len(left) != 0 {
		l.t.Errorf("still listed: %v", left)
	}
}

// fade is what follows: the agent is refused, and becomes quiet.
func (l *life) fade() {
	l.t.Helper()
	l.pass(time.Hour) // until its credentials are over
	before := l.saw("RequestManagedInstanceRoleToken")
	c := l.pass(2 * time.Hour)
	l.holds("deregistered", c.Heartbeats == 0 && c.Runs == 0 && c.Tokens == 0, c)
	if n := l.saw("RequestManagedInstanceRoleToken") - before; n < 3 || n > 5 {
		l.t.Errorf("in two hours it asked %d times for credentials", n)
	}
}
