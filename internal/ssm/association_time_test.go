package ssm_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/ssm"
)

// TestSumsOfOthersRunsAreFresh tries how old the sum over an association's nodes may be at a server that others write
// beside.
func TestSumsOfOthersRunsAreFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := newServers(t, 2)
		defer servers[0].stop()
		defer servers[1].stop()
		one, two := servers[0], servers[1]
		ids := one.enrol(2)
		a := one.associate(gather(everywhere))
		one.poll(ids[0])
		wantText(t, "overview", "Pending Associated Pending=1", one.overview(a))
		two.poll(ids[1])
		two.say(ids[1], a, "Pending", "Success")
		one.say(ids[0], a, "Pending", "Success") // its own it knows at once
		if got := one.overview(a); got != "Success Success Success=1" && got != "Success Success Success=2" {
			t.Errorf("overview is %q", got)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		wantText(t, "overview", "Success Success Success=2", one.overview(a))
	})
}

// TestTicksTheAgentDoesNotKnow has a node run at a time of day: when it asks after that, once, and not before.
func TestTicksTheAgentDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer func() { tr.stop() }()
		id := tr.enrol(1)[0]
		in := gather(named(id))
		in.Schedule, in.OnlyAtTicks = "at("+time.Now().Add(2*time.Hour).UTC().Format("2006-01-02T15:04:05")+")", true
		a := tr.associate(in)
		told := func(state string) {
			t.Helper()
			tr.wantTold(id, map[string]string{a: "v1 " + state})
		}
		told("Skipped") // no agent runs what it is told so
		time.Sleep(119 * time.Minute)
		told("Skipped")
		wantText(t, "overview", "Pending Associated Pending=1", tr.overview(a))
		time.Sleep(2 * time.Minute)
		told("Pending")
		tr.say(id, a, "Pending", "InProgress")
		tr.restart()
		told("InProgress")
		tr.say(id, a, "Success")
		told("Success")
		time.Sleep(24 * time.Hour)
		told("Success")
	})
}

// TestListsHealAfterACrash has a server die between making an association and saying so: the others find it all the same.
func TestListsHealAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := newServers(t, 2)
		defer servers[0].stop()
		defer servers[1].stop()
		one, two := servers[0], servers[1]
		id := one.enrol(1)[0]
		a := one.associate(gather(named(id)))
		two.wantTold(id, map[string]string{a: "v1 Pending"})
		held, free := one.calls.holdOne(func(name string) bool { return strings.HasPrefix(name, "put associations/") })
		defer free()
		go func() {
			_, _ = one.UpdateAssociation(t.Context(), home, ssm.UpdateAssociationInput{ID: a})
		}()
		<-held
		two.wantTold(id, map[string]string{a: "v1 Pending"})
		time.Sleep(time.Minute + time.Millisecond)
		two.wantTold(id, map[string]string{a: "v2 Pending"})
	})
}
