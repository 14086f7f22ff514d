package ssm_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

const (
	events     = inventory.TypeName("Custom:Event")
	splitNodes = 70
	splitEach  = 60
)

// event is the nth entry of a node: its Seen is its own, the rest it shares with others.
func event(id, n, round int) inventory.Entry {
	return entry("Level", fmt.Sprint((id+n)%3), "Name", fmt.Sprint("event ", n%7), "Seen", fmt.Sprintf("%d-%02d-%02d", round, id, n))
}

func (tr *trial) reportEvents(id, round int) {
	tr.t.Helper()
	entries := make([]inventory.Entry, splitEach)
	for n := range entries {
		entries[n] = event(id, n, round)
	}
	tr.mustReport(node(id), item(events, append(entries, entries[0])...))
}

// splitAnswers asks everything that meets the attributes that are to become volatile, and those beside them.
func (tr *trial) splitAnswers() map[string]string {
	tr.t.Helper()
	all := map[string]string{}
	for name, filters := range map[string][]inventory.RawFilter{
		"seen":          equal("Custom:Event.Seen", "1-03-07"),
		"seen by name":  {{Key: "Custom:Event.Seen", Values: []string{"1-03-07"}}, {Key: "Custom:Event.Name", Values: []string{"event 0"}}},
		"not by name":   {{Key: "Custom:Event.Seen", Values: []string{"1-03-07"}}, {Key: "Custom:Event.Name", Values: []string{"event 1"}}},
		"seen first":    {{Key: "Custom:Event.Seen", Values: []string{"1-09"}, Operator: "LessThan"}, {Key: "Custom:Event.Level", Values: []string{"2"}}},
		"begins":        {{Key: "Custom:Event.Seen", Values: []string{"1-2", "2-"}, Operator: "BeginWith"}},
		"unseen":        {{Key: "Custom:Event.Seen", Values: []string{"1-03-07", "1-04-00"}, Operator: "NotEqual"}},
		"other level":   {{Key: "Custom:Event.Seen", Values: []string{"1-03-07"}}, {Key: "Custom:Event.Level", Values: []string{"1"}, Operator: "NotEqual"}},
		"level":         equal("Custom:Event.Level", "1"),
		"nothing there": equal("Custom:Event.Name", "event 7"),
	} {
		all[name] = fmt.Sprint(tr.find(filters...))
	}
	out, err := tr.GetInventory(tr.t.Context(), home, ssm.GetInventoryInput{Aggregators: []inventory.RawAggregator{
		{Expression: "Custom:Event.Name", Aggregators: []inventory.RawAggregator{{Expression: "Custom:Event.Level"}}},
		{Expression: "Custom:Event.Level", Aggregators: []inventory.RawAggregator{{Expression: "Custom:Event.Seen"}}},
	}})
	if err != nil {
		tr.t.Fatal(err)
	}
	all["counts"] = fmt.Sprint(out.Entities)
	for _, id := range []int{0, 3, splitNodes - 1} {
		all[fmt.Sprint("entries of ", id)] = fmt.Sprint(tr.list(node(id), events))
	}
	return all
}

// shapesOf gives how many shapes the index has of a type.
func (tr *trial) shapesOf(t inventory.TypeName) int {
	for _, p := range tr.replica.Index().Stats() {
		for _, s := range p.Types {
			if s.Type == t {
				return s.Shapes
			}
		}
	}
	return 0
}

// TestSplitsChangeNoAnswer lets the service learn that an attribute is nearly unique, with the rewriting of documents held
// up in the middle: answers are the same before, during and after, and after a restart at each of these.
func TestSplitsChangeNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		tr.stop()
		tr.config.Extensions = true
		left := tr.hold(inventory.CauseSplit, 0)
		tr.start()
		defer func() { tr.stop() }()
		for id := range splitNodes {
			tr.reportEvents(id, 1)
		}
		before := tr.splitAnswers()
		shapes := tr.shapesOf(events)
		check := func(when string, want map[string]string) {
			t.Helper()
			for question, now := range tr.splitAnswers() {
				if now != want[question] {
					t.Errorf("%s, %s is\n%s\nand was\n%s", when, question, now, want[question])
				}
			}
		}
		for _, commits := range []int64{0, 1, splitNodes / 2, splitNodes} {
			left.Store(commits)
			time.Sleep(11 * time.Minute)
			synctest.Wait()
			check(fmt.Sprintf("%d documents later", commits), before)
			tr.restart()
			check(fmt.Sprintf("%d documents and a restart later", commits), before)
		}
		if now := tr.shapesOf(events); now*4 > shapes {
			t.Errorf("there were %d shapes, and are %d", shapes, now)
		}
		if n := tr.causes()[inventory.CauseSplit]; n != splitNodes {
			t.Errorf("%d documents were rewritten, of %d", n, splitNodes)
		}
		// Reports after the split: one says the same, one brings new values.
		tr.reportEvents(3, 1)
		check("one reported again", before)
		tr.reportEvents(4, 2)
		changed := tr.splitAnswers()
		if got := changed["unseen"]; !strings.Contains(got, string(node(4))) || strings.Contains(got, string(node(3))) {
			t.Errorf("unseen is on %v", got)
		}
		tr.restart()
		check("restarted", changed)
	})
}

// TestWhatIsLearntElsewhereCutsTheNextReport has one server learn a split, and a node report the type for the first time to
// another, which remembers the node and the type as they were before.
func TestWhatIsLearntElsewhereCutsTheNextReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 2)
		defer stopAll(all)
		for id := range splitNodes {
			all[1].reportEvents(id, 1)
		}
		const late = splitNodes + 1
		all[1].mustReport(node(late), item(application, entry("Name", "a")))
		time.Sleep(time.Hour)
		synctest.Wait()
		all[1].reportEvents(late, 1)
		scans, err := all[1].store.Read(t.Context(), []inventory.NodeKey{{Partition: home, Node: node(late)}}, []inventory.TypeName{events})
		if err != nil {
			t.Fatal(err)
		}
		for i, state := range scans[0].Node.Items {
			if state.Type == events && scans[0].Documents[i].Split == 0 {
				t.Error("the report is cut as before the split")
			}
		}
	})
}
