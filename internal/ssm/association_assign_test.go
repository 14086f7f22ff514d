package ssm

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
)

// workshop assigns associations to one node over a clock of its own.
type workshop struct {
	t        *testing.T
	service  *Service
	now      time.Time
	enrolled time.Time
	held     []*heldAssociation
	runs     map[string]heldRun
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	policies, err := builtInPolicies()
	if err != nil {
		t.Fatal(err)
	}
	w := &workshop{t: t, service: &Service{policies: policies, cfg: Config{ScheduleFloor: DefaultScheduleFloor}}, runs: map[string]heldRun{}}
	w.now = instant(t, "2026-03-10T10:00:00")
	w.enrolled = w.now.Add(-24 * time.Hour)
	return w
}

// make makes an association or a version of one, now.
func (w *workshop) make(id string, version int, settings AssociationSettings) *heldAssociation {
	settings.Document = GatherInventory
	if settings.Targets == nil {
		settings.Targets = []Target{{Key: idTarget, Values: []string{"i-00000001"}}}
	}
	h := w.service.hold(Association{ID: id, Version: version, Updated: w.now, AssociationSettings: settings}, 1)
	for i := range w.held {
		if w.held[i].ID == id {
			w.held[i] = h
			return h
		}
	}
	w.held = append(w.held, h)
	return h
}

// poll is the node asking; it gives what the agent would see of each: id, state, schedule and last execution.
func (w *workshop) poll() string {
	var told []string
	for _, a := range assign(w.held, w.runs, w.enrolled, w.now) {
		w.runs[a.ID] = a.run
		n := a.told()
		if a.run.Verdict != "" {
			told = append(told, fmt.Sprintf("%s not told: %s %s", a.ID, n.Status, n.DetailedStatus))
			continue
		}
		line := a.ID + " " + n.DetailedStatus
		if n.Schedule != "" {
			line += " " + n.Schedule
		}
		if !n.Last.IsZero() {
			line += " since " + n.Last.Format("15:04:05")
		}
		told = append(told, line)
	}
	return strings.Join(told, "; ")
}

func (w *workshop) want(texts ...string) {
	w.t.Helper()
	if diff := cmp.Diff(strings.Join(texts, "; "), w.poll()); diff != "" {
		w.t.Errorf("told at %s (-want +got):\n%s", w.now.Format("Mon 15:04:05"), diff)
	}
}

// pass lets time go by.
func (w *workshop) pass(d time.Duration) { w.now = w.now.Add(d) }

// says is the agent saying how far it is, a second on.
func (w *workshop) says(id string, statuses ...string) {
	w.t.Helper()
	for _, status := range statuses {
		w.pass(time.Second)
		r := w.runs[id]
		for _, h := range w.held {
			if h.ID == id {
				r.take(runReport{status: status, at: w.now}, h.begun(w.now))
			}
		}
		w.runs[id] = r
	}
}

// past gives the runs told of, the newest first.
func (w *workshop) past(id string) string {
	var all []string
	for _, p := range w.runs[id].Past {
		all = append(all, fmt.Sprintf("v%d %s %s", p.Version, p.Begun.Format("02 15:04:05"), p.Status))
	}
	return strings.Join(all, "; ")
}

func (w *workshop) wantPast(id string, texts ...string) {
	w.t.Helper()
	if diff := cmp.Diff(strings.Join(texts, "; "), w.past(id)); diff != "" {
		w.t.Errorf("past at %s (-want +got):\n%s", w.now.Format("Mon 15:04:05"), diff)
	}
}

func TestNewAssociationRunsAtOnceAndThenBySchedule(t *testing.T) {
	w := newWorkshop(t)
	w.make("a", 1, AssociationSettings{Schedule: "rate(30 minutes)"})
	w.pass(3 * time.Minute)
	w.want("a Pending rate(30 minutes)")
	w.want("a Pending rate(30 minutes)")
	w.says("a", statusPending, statusInProgress)
	w.want("a InProgress rate(30 minutes) since 10:03:02")
	w.says("a", statusInProgress, statusSuccess)
	w.want("a Success rate(30 minutes) since 10:03:04")
	w.pass(30 * time.Minute)
	w.want("a Success rate(30 minutes) since 10:03:04") // the agent keeps the schedule
	w.says("a", statusPending, statusFailed)
	w.wantPast("a", "v1 10 10:30:00 Failed", "v1 10 10:00:00 Success")
}

func TestUpdateRunsAgainWhateverWasUnderWay(t *testing.T) {
	w := newWorkshop(t)
	w.make("a", 1, AssociationSettings{Schedule: "rate(1 hour)"})
	w.want("a Pending rate(1 hour)")
	w.says("a", statusPending, statusInProgress)
	w.pass(time.Minute)
	w.make("a", 2, AssociationSettings{Schedule: "rate(2 hours)"})
	w.want("a Pending rate(2 hours) since 10:00:02")
	w.says("a", statusInProgress, statusSuccess) // of version 1
	w.want("a Pending rate(2 hours) since 10:01:04")
	w.wantPast("a", "v2 10 10:01:02 Pending", "v1 10 10:00:00 Success")
	w.says("a", statusPending, statusSuccess)
	w.want("a Success rate(2 hours) since 10:01:06")
	w.wantPast("a", "v2 10 10:01:02 Success", "v1 10 10:00:00 Success")
}

func TestOnceRunsAgain(t *testing.T) {
	w := newWorkshop(t)
	w.make("a", 1, AssociationSettings{})
	w.want("a Pending")
	w.says("a", statusPending, statusSuccess)
	w.want("a Success since 10:00:02")
	w.pass(time.Hour)
	w.want("a Success since 10:00:02")
	w.held[0].Once = w.now
	w.want("a Pending since 10:00:02")
	w.says("a", statusSuccess) // an agent that says the end alone
	w.want("a Success since 11:00:03")
	w.wantPast("a", "v1 10 11:00:02 Success", "v1 10 10:00:00 Success")
}

// TestOnlyAtTicksWaits tries that an association that keeps to its ticks gives agents no reason to run it before.
func TestOnlyAtTicksWaits(t *testing.T) {
	w := newWorkshop(t)
	w.make("a", 1, AssociationSettings{Schedule: "cron(30 * * * ? *)", OnlyAtTicks: true})
	w.pass(time.Minute)
	w.want("a Associated cron(30 * * * ? *) since 10:00:00")
	w.pass(30 * time.Minute)
	w.says("a", statusPending, statusSuccess)
	w.wantPast("a", "v1 10 10:30:00 Success")
	w.make("a", 2, AssociationSettings{Schedule: "cron(30 * * * ? *)", OnlyAtTicks: true})
	w.want("a Success cron(30 * * * ? *) since 10:31:02")
	w.held[0].Once = w.now.Add(time.Millisecond)
	w.pass(time.Second)
	w.want("a Pending cron(30 * * * ? *) since 10:31:02")
}

// TestServedSchedules tries the schedules agents do not know: the service tells when.
func TestServedSchedules(t *testing.T) {
	w := newWorkshop(t)
	w.make("at", 1, AssociationSettings{Schedule: "at(2026-03-10T12:00:00)", Name: quickSetupPrefix + "x"})
	w.want("at Pending")
	w.says("at", statusPending, statusSuccess)
	w.want("at Success since 10:00:02")
	w.pass(2 * time.Hour)
	w.want("at Pending since 10:00:02")
	w.says("at", statusPending, statusSuccess)
	w.pass(24 * time.Hour)
	w.want("at Success since 12:00:04")
	w.wantPast("at", "v1 10 12:00:00 Success", "v1 10 10:00:00 Success")

	w = newWorkshop(t)
	w.make("offset", 1, AssociationSettings{Schedule: "cron(0 8 ? * TUE *)", OnlyAtTicks: true, OffsetDays: 2})
	w.want("offset Skipped since 10:00:00")
	w.pass(46 * time.Hour) // Thursday
	w.want("offset Pending")
	w.says("offset", statusPending, statusSuccess)
	w.want("offset Success since 08:00:02")
	w.wantPast("offset", "v1 12 08:00:00 Success")
}

// TestDurationEndsWhatWasNotBegun tries that a node that asks too late is not told to begin.
func TestDurationEndsWhatWasNotBegun(t *testing.T) {
	w := newWorkshop(t)
	w.make("a", 1, AssociationSettings{Schedule: "rate(1 day)", DurationHours: 2})
	w.pass(2*time.Hour + time.Second)
	w.want("a Associated rate(1 day) since 10:00:00")
	w.held[0].Once = w.now
	w.pass(time.Hour)
	w.want("a Pending rate(1 day)")
	w.pass(2*time.Hour + time.Second)
	w.want("a Associated rate(1 day) since 10:00:00")
	w.wantPast("a", "v1 10 12:00:01 TimedOut")
}

func TestOneInventoryAssociationCounts(t *testing.T) {
	w := newWorkshop(t)
	every := []Target{{Key: idTarget, Values: []string{everyNode}}}
	w.make("every", 1, AssociationSettings{Targets: every})
	w.want("every Pending")
	w.says("every", statusPending, statusSuccess)
	w.make("own", 1, AssociationSettings{})
	w.want("every not told: Skipped OverriddenByExplicitInventoryAssociation", "own Pending")
	w.make("other", 1, AssociationSettings{})
	w.want("every not told: Skipped OverriddenByExplicitInventoryAssociation", "own not told: Failed Failed", "other not told: Failed Failed")
	w.wantPast("own", "v1 10 10:00:02 Failed")
	w.make("quick", 1, AssociationSettings{Name: quickSetupPrefix + "abc", Targets: every})
	w.want("every not told: Skipped OverriddenByExplicitInventoryAssociation", "own not told: Skipped OverriddenByExplicitInventoryAssociation",
		"other not told: Skipped OverriddenByExplicitInventoryAssociation", "quick Pending")
	w.pass(time.Minute)
	w.held = w.held[:1]
	w.want("every Pending since 10:00:02")
	w.says("every", statusPending, statusSuccess)
	w.want("every Success since 10:01:04")
}

// TestReplayedReportsChangeNothing takes the reports of a run in every order and twice: the last one stands.
func TestReplayedReportsChangeNothing(t *testing.T) {
	begun := instant(t, "2026-03-10T10:00:00")
	var reports []runReport
	for i, status := range []string{statusPending, statusInProgress, statusSuccess} {
		reports = append(reports, runReport{status: status, at: begun.Add(time.Duration(i+1) * time.Second)})
	}
	for _, order := range [][]int{{0, 1, 2, 0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2, 2}, {2, 0, 0, 1}} {
		var r run
		for _, i := range order {
			r.take(reports[i], begun)
		}
		if r.Status != statusSuccess || len(r.Past) != 1 || r.Past[0].Status != statusSuccess {
			t.Errorf("order %v: %+v", order, r)
		}
		if r.take(reports[2], begun) {
			t.Errorf("order %v: the last report said again is taken as news", order)
		}
	}
	// A clock that was set back by more than a call can be late is believed.
	r := run{Status: statusSuccess, Last: begun}
	if !r.take(runReport{status: statusPending, at: begun.Add(-time.Hour)}, begun) {
		t.Error("a node whose clock was set back is not heard any more")
	}
}

// TestPastStaysShort tries that a record does not grow with the runs.
func TestPastStaysShort(t *testing.T) {
	w := newWorkshop(t)
	w.make("a", 1, AssociationSettings{Schedule: "rate(30 minutes)"})
	w.want("a Pending rate(30 minutes)")
	for range 20 {
		w.says("a", statusPending, statusInProgress, statusSuccess)
		w.pass(30 * time.Minute)
	}
	if n := len(w.runs["a"].Past); n != pastRuns {
		t.Errorf("%d runs are kept, not %d", n, pastRuns)
	}
}

func TestTargetsMean(t *testing.T) {
	tags := map[string]string{"Stage": "prod", "Owner": ""}
	for _, c := range []struct {
		targets []Target
		want    bool
	}{
		{nil, false},
		{[]Target{{idTarget, []string{"*"}}}, true},
		{[]Target{{idTarget, []string{"i-00000002", "i-00000001"}}}, true},
		{[]Target{{idTarget, []string{"i-00000002"}}}, false},
		{[]Target{{"tag:Stage", []string{"test", "prod"}}}, true},
		{[]Target{{"tag:Stage", []string{"Prod"}}}, false},
		{[]Target{{"tag:Owner", []string{""}}}, true},
		{[]Target{{"tag:Other", []string{""}}}, false},
		{[]Target{{"tag:Stage", []string{"prod"}}, {"tag:Owner", []string{"web"}}}, false},
		{[]Target{{"tag:Stage", []string{"prod"}}, {idTarget, []string{"i-00000001"}}}, true},
	} {
		a := AssociationSettings{Targets: c.targets}
		if got := a.meant("i-00000001", tags); got != c.want {
			t.Errorf("%v: %v, want %v", c.targets, got, c.want)
		}
		l := associationList{byNode: map[inventory.NodeID][]*heldAssociation{}}
		l.add(&heldAssociation{Association: Association{AssociationSettings: a}})
		if got := len(l.of("i-00000001", tags)) == 1; got != c.want {
			t.Errorf("%v: listed %v, want %v", c.targets, got, c.want)
		}
	}
}

// TestEveryChangeIsRunOnce plays an agent against a server whose associations change at any moment, and come and go before
// each other: once the agent had time to ask and run twice, it has run what was last wanted, and is told to run nothing more.
func TestEveryChangeIsRunOnce(t *testing.T) {
	for range 300 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 2))
		w := newWorkshop(t)
		every := []Target{{Key: idTarget, Values: []string{everyNode}}}
		w.make("a", 1, AssociationSettings{Targets: every})
		a := &playedAgent{w: w}
		for range 80 {
			w.pass(time.Duration(r.IntN(300)) * time.Second)
			switch r.IntN(8) {
			case 0:
				w.make("a", w.held[0].Version+1, AssociationSettings{Targets: every})
				a.wanted = w.now
			case 1:
				w.held[0].Once = w.now
				a.wanted = w.now
			case 2:
				a.id, a.left = "", nil // the agent died
			case 3:
				if w.held = w.held[:1]; r.IntN(2) == 0 {
					w.make("own", 1, AssociationSettings{})
				}
			case 4, 5:
				a.ask()
			default:
				a.step()
			}
		}
		w.held = w.held[:1]
		for range 2 {
			a.ask()
			for len(a.left) > 0 {
				w.pass(time.Second)
				a.step()
			}
		}
		a.judge(seed)
	}
}

// playedAgent asks, and runs what it is told to as the stock agent does: one run at a time, in steps.
type playedAgent struct {
	w      *workshop
	id     string   // of the association under way
	left   []string // steps of its run
	begun  time.Time
	wanted time.Time
	runs   int
}

func (a *playedAgent) ask() {
	told := a.w.poll()
	for _, id := range []string{"a", "own"} {
		if len(a.left) == 0 && strings.Contains("; "+told, "; "+id+" "+statusPending) {
			a.id, a.left = id, []string{statusPending, statusInProgress, statusInProgress, statusSuccess}
			if id == "a" {
				a.begun = a.w.now
			}
			a.runs++
			a.step() // it says that it begins before it asks again
		}
	}
}

func (a *playedAgent) step() {
	if len(a.left) > 0 {
		a.w.says(a.id, a.left[0])
		a.left = a.left[1:]
	}
}

// judge looks at what came of it.
func (a *playedAgent) judge(seed uint64) {
	a.w.t.Helper()
	if a.begun.Before(a.wanted) {
		a.w.t.Fatalf("seed %d: last run began at %s, and one was wanted at %s", seed, a.begun, a.wanted)
	}
	runs := a.runs
	a.ask()
	if a.runs != runs {
		a.w.t.Fatalf("seed %d: a run more is told of: %+v", seed, a.w.runs["a"])
	}
	for i, p := range a.w.runs["a"].Past {
		if i > 0 && underWay(p.Status) || i >= pastRuns {
			a.w.t.Fatalf("seed %d: past is %s", seed, a.w.past("a"))
		}
	}
}

// TestEarlyClocksBeginWithTheTick has a node whose clock is a little ahead begin before the tick it begins for.
func TestEarlyClocksBeginWithTheTick(t *testing.T) {
	w := newWorkshop(t)
	w.make("a", 1, AssociationSettings{Schedule: "cron(30 * * * ? *)"})
	w.want("a Pending cron(30 * * * ? *)")
	w.says("a", statusPending, statusSuccess)
	w.pass(29*time.Minute + 40*time.Second)
	w.says("a", statusPending, statusSuccess)
	w.wantPast("a", "v1 10 10:30:00 Success", "v1 10 10:00:00 Success")
}
