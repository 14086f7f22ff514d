package ssm_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

// everywhere are the targets of an association for every node.
var everywhere = []ssm.Target{{Key: "InstanceIds", Values: []string{"*"}}}

func named(ids ...inventory.NodeID) []ssm.Target {
	t := ssm.Target{Key: "InstanceIds"}
	for _, id := range ids {
		t.Values = append(t.Values, string(id))
	}
	return []ssm.Target{t}
}

func gather(targets []ssm.Target) ssm.CreateAssociationInput {
	return ssm.CreateAssociationInput{AssociationSettings: ssm.AssociationSettings{Document: ssm.GatherInventory, Targets: targets, Schedule: "rate(30 minutes)"}}
}

func (tr *trial) associate(in ssm.CreateAssociationInput) string {
	tr.t.Helper()
	a, err := tr.CreateAssociation(context.Background(), home, in)
	if err != nil {
		tr.t.Fatal(err)
	}
	return a.ID
}

// poll is a node asking what it is to do; it gives the state of each association that it is told of, by id.
func (tr *trial) poll(id inventory.NodeID) map[string]string {
	tr.t.Helper()
	out, err := tr.ListNodeAssociations(context.Background(), home, ssm.ListNodeAssociationsInput{Node: id})
	if err != nil {
		tr.t.Fatal(err)
	}
	told := map[string]string{}
	for _, a := range out.Associations {
		told[a.ID] = fmt.Sprint("v", a.Version, " ", a.DetailedStatus)
	}
	return told
}

func (tr *trial) wantTold(id inventory.NodeID, want map[string]string) {
	tr.t.Helper()
	if diff := cmp.Diff(want, tr.poll(id)); diff != "" {
		tr.t.Errorf("%s is told (-want +got):\n%s", id, diff)
	}
}

// say is a node saying how far it is.
func (tr *trial) say(id inventory.NodeID, association string, statuses ...string) {
	tr.t.Helper()
	for _, status := range statuses {
		err := tr.UpdateRun(context.Background(), home, ssm.RunReport{Association: association, Node: id, Status: status, At: time.Now(), Summary: "is " + status})
		if err != nil {
			tr.t.Fatal(err)
		}
	}
}

// overview gives how an association stands.
func (tr *trial) overview(association string) string {
	tr.t.Helper()
	d, err := tr.DescribeAssociation(context.Background(), home, ssm.AssociationName{ID: association}, 0)
	if err != nil {
		tr.t.Fatal(err)
	}
	text := d.Overview.Status + " " + d.Overview.Detailed
	for _, c := range d.Overview.Counts {
		text += fmt.Sprintf(" %s=%d", c.Status, c.Nodes)
	}
	return text
}

func wantText(t testing.TB, what, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func (tr *trial) enrol(n int) []inventory.NodeID {
	tr.t.Helper()
	var ids []inventory.NodeID
	for i := 1; i <= n; i++ {
		ids = append(ids, node(i))
		if err := tr.RegisterNode(context.Background(), home, node(i)); err != nil {
			tr.t.Fatal(err)
		}
	}
	return ids
}

// TestRunsLastOverRestarts walks two nodes through a run with the service restarted between all steps: what was run is
// not run again.
func TestRunsLastOverRestarts(t *testing.T) {
	tr := newPebbleTrial(t)
	defer func() { tr.stop() }()
	ids := tr.enrol(2)
	a := tr.associate(gather(everywhere))
	steps := []func(){
		func() { tr.wantTold(ids[0], map[string]string{a: "v1 Pending"}) },
		func() { tr.say(ids[0], a, "Pending", "InProgress") },
		func() { wantText(t, "overview", "Pending InProgress InProgress=1", tr.overview(a)) },
		func() { tr.wantTold(ids[0], map[string]string{a: "v1 InProgress"}) },
		func() { tr.say(ids[0], a, "Success") },
		func() { tr.wantTold(ids[0], map[string]string{a: "v1 Success"}) },
		func() { tr.wantTold(ids[1], map[string]string{a: "v1 Pending"}) },
		func() { wantText(t, "overview", "Pending Associated Pending=1 Success=1", tr.overview(a)) },
		func() { tr.say(ids[1], a, "Pending", "InProgress", "Failed") },
		func() { wantText(t, "overview", "Failed Failed Failed=1 Success=1", tr.overview(a)) },
		func() {
			if err := tr.StartAssociationsOnce(t.Context(), home, []string{a}); err != nil {
				t.Fatal(err)
			}
		},
		func() { tr.wantTold(ids[0], map[string]string{a: "v1 Pending"}) },
		func() { tr.say(ids[0], a, "Pending", "Success") },
		func() { tr.wantTold(ids[0], map[string]string{a: "v1 Success"}) },
	}
	for _, step := range steps {
		step()
		tr.restart()
	}
	out, err := tr.ListExecutions(t.Context(), home, ssm.ListExecutionsInput{Association: a})
	if err != nil {
		t.Fatal(err)
	}
	var counts []string
	for _, e := range out.Executions {
		counts = append(counts, e.Status+" "+e.ResourceCount())
	}
	if diff := cmp.Diff([]string{"Success {Success=1}", "Failed {Failed=1, Success=1}"}, counts); diff != "" {
		t.Errorf("executions (-want +got):\n%s", diff)
	}
}

// TestTagsDecide moves a node in and out of an association by its tags.
func TestTagsDecide(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	id := tr.enrol(1)[0]
	a := tr.associate(gather([]ssm.Target{{Key: "tag:Stage", Values: []string{"prod", "test"}}}))
	tr.wantTold(id, map[string]string{})
	stage := ssm.Resource{Type: "ManagedInstance", ID: string(id)}
	tag := func(value string) {
		if err := tr.AddTags(t.Context(), home, stage, []ssm.Tag{{Key: "Stage", Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	tag("test")
	tr.wantTold(id, map[string]string{a: "v1 Pending"})
	tr.say(id, a, "Pending", "Success")
	wantText(t, "overview", "Success Success Success=1", tr.overview(a))
	tag("none")
	tr.wantTold(id, map[string]string{})
	wantText(t, "overview", "Pending Associated", tr.overview(a))
	tag("prod")
	tr.wantTold(id, map[string]string{a: "v1 Pending"}) // a node that comes back runs at once
}

// TestServersShareAssociations tries that what one server was told another knows.
func TestServersShareAssociations(t *testing.T) {
	servers := newServers(t, 2)
	defer servers[0].stop()
	defer servers[1].stop()
	one, two := servers[0], servers[1]
	id := one.enrol(1)[0]
	two.wantTold(id, map[string]string{})
	a := one.associate(gather(named(id)))
	two.wantTold(id, map[string]string{a: "v1 Pending"})
	one.say(id, a, "Pending", "InProgress")
	two.wantTold(id, map[string]string{a: "v1 InProgress"})
	two.say(id, a, "Success")
	one.wantTold(id, map[string]string{a: "v1 Success"})
	wantText(t, "overview", "Success Success Success=1", one.overview(a))
	if _, err := two.UpdateAssociation(t.Context(), home, ssm.UpdateAssociationInput{ID: a, AssociationSettings: ssm.AssociationSettings{Schedule: "rate(1 hour)"}}); err != nil {
		t.Fatal(err)
	}
	one.wantTold(id, map[string]string{a: "v2 Pending"})
	if err := one.DeleteAssociation(t.Context(), home, ssm.AssociationName{ID: a}); err != nil {
		t.Fatal(err)
	}
	two.wantTold(id, map[string]string{})
}

// TestOneForEveryNode races servers to make the association for every node: there is one in the end, whoever made it.
func TestOneForEveryNode(t *testing.T) {
	servers := newServers(t, 2)
	defer servers[0].stop()
	defer servers[1].stop()
	for round := range 5 {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { _, errs[i] = servers[i%2].CreateAssociation(t.Context(), home, gather(everywhere)) })
		}
		wg.Wait()
		for _, err := range errs {
			var refusal *inventory.Error
			if err != nil && (!errors.As(err, &refusal) || refusal.Code != inventory.AssociationLimitExceeded || !strings.Contains(refusal.Message, "Multiple apply all associations")) {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		out, err := servers[round%2].ListAssociations(t.Context(), home, ssm.ListAssociationsInput{})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Associations) > 1 {
			t.Fatalf("round %d: %d associations for every node", round, len(out.Associations))
		}
		for _, a := range out.Associations {
			if err := servers[0].DeleteAssociation(t.Context(), home, ssm.AssociationName{ID: a.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	servers[0].associate(gather(everywhere)) // what was deleted claims nothing
}

// TestRacingUpdatesMakeVersions has servers update one association at a time: every version is there, none twice.
func TestRacingUpdatesMakeVersions(t *testing.T) {
	servers := newServers(t, 2)
	defer servers[0].stop()
	defer servers[1].stop()
	a := servers[0].associate(gather(everywhere))
	const updates = 10
	var wg sync.WaitGroup
	for i := range updates {
		wg.Go(func() {
			in := ssm.UpdateAssociationInput{ID: a, AssociationSettings: ssm.AssociationSettings{Schedule: fmt.Sprintf("rate(%d hours)", i+2)}}
			if _, err := servers[i%2].UpdateAssociation(t.Context(), home, in); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	schedules := map[string]bool{}
	in := ssm.ListAssociationVersionsInput{ID: a, MaxResults: 3}
	for next := 1; ; {
		out, err := servers[1].ListAssociationVersions(t.Context(), home, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out.Versions {
			if v.Version != next {
				t.Errorf("version %d comes where %d is due", v.Version, next)
			}
			next++
			schedules[v.Schedule] = true
		}
		if in.NextToken = out.NextToken; in.NextToken == "" {
			break
		}
	}
	if len(schedules) != updates+1 {
		t.Errorf("%d schedules of %d are among the versions", len(schedules), updates+1)
	}
}

// TestConcurrentReportsOfRuns has many nodes say many things at once while associations are summed up.
func TestConcurrentReportsOfRuns(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	ids := tr.enrol(20)
	a := tr.associate(gather(everywhere))
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			tr.poll(id)
			tr.say(id, a, "Pending", "InProgress", "InProgress", "Success")
			tr.overview(a)
		})
	}
	wg.Wait()
	wantText(t, "overview", "Success Success Success=20", tr.overview(a))
}

func TestAssociationRefusals(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	id := tr.enrol(1)[0]
	tr.associate(ssm.CreateAssociationInput{Node: id, AssociationSettings: ssm.AssociationSettings{Document: ssm.GatherInventory}})
	change := func(f func(in *ssm.CreateAssociationInput)) ssm.CreateAssociationInput {
		in := gather(named(id))
		f(&in)
		return in
	}
	tags := make([]ssm.Tag, 51)
	for i := range tags {
		tags[i].Key = fmt.Sprint(i)
	}
	for _, c := range []struct {
		code inventory.Code
		in   ssm.CreateAssociationInput
	}{
		{inventory.AssociationAlreadyExists, ssm.CreateAssociationInput{Node: id, AssociationSettings: ssm.AssociationSettings{Document: ssm.GatherInventory}}},
		{inventory.InvalidInstanceID, ssm.CreateAssociationInput{Node: node(9), AssociationSettings: ssm.AssociationSettings{Document: ssm.GatherInventory}}},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Node = id })},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Targets = nil })},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Targets[0].Values = nil })},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Targets[0].Key = "resource-groups:Name" })},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Targets[0].Key = "tag:" })},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) {
			in.Targets = []ssm.Target{{Key: "tag:a", Values: []string{strings.Repeat("v", 257)}}}
		})},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Targets = append(in.Targets, in.Targets...) })},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Targets[0].Values = []string{"web-1"} })},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Targets[0].Values = []string{"*", string(id)} })},
		{inventory.InvalidTarget, change(func(in *ssm.CreateAssociationInput) { in.Unsupported.TargetLocations = true })},
		{inventory.InvalidTargetMaps, change(func(in *ssm.CreateAssociationInput) { in.Unsupported.TargetMaps = true })},
		{inventory.InvalidRequest, change(func(in *ssm.CreateAssociationInput) { in.Unsupported.Calendars = true })},
		{inventory.InvalidRequest, change(func(in *ssm.CreateAssociationInput) { in.Unsupported.Alarms = true })},
		{inventory.InvalidDocument, change(func(in *ssm.CreateAssociationInput) { in.Document = "AWS-RunShellScript" })},
		{inventory.InvalidDocumentVersion, change(func(in *ssm.CreateAssociationInput) { in.DocumentVersion = "2" })},
		{inventory.InvalidSchedule, change(func(in *ssm.CreateAssociationInput) { in.Schedule = "rate(5 minutes)" })},
		{inventory.InvalidParameters, change(func(in *ssm.CreateAssociationInput) { in.Parameters = map[string][]string{"x": {"Enabled"}} })},
		{inventory.InvalidParameters, change(func(in *ssm.CreateAssociationInput) { in.Parameters = map[string][]string{"services": {"enabled"}} })},
		{inventory.InvalidParameters, change(func(in *ssm.CreateAssociationInput) { in.Parameters = map[string][]string{"services": {}} })},
		{inventory.InvalidParameters, change(func(in *ssm.CreateAssociationInput) { in.Parameters = map[string][]string{"files": {"/etc"}} })},
		{inventory.InvalidParameters, change(func(in *ssm.CreateAssociationInput) {
			in.Parameters = map[string][]string{"windowsRegistry": {`{"Path":"a"}`}}
		})},
		{inventory.TooManyTags, change(func(in *ssm.CreateAssociationInput) { in.Tags = tags })},
	} {
		_, err := tr.CreateAssociation(t.Context(), home, c.in)
		wantCode(t, err, c.code)
	}
	out, err := tr.ListAssociations(t.Context(), home, ssm.ListAssociationsInput{})
	if err != nil || len(out.Associations) != 1 {
		t.Errorf("%d associations are there after refusals: %v", len(out.Associations), err)
	}
}

// TestNodeQuota tries that one node is named by so many associations and no more.
func TestNodeQuota(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	id := tr.enrol(1)[0]
	for range 20 {
		tr.associate(gather(named(id, node(2))))
	}
	_, err := tr.CreateAssociation(t.Context(), home, gather(named(node(2))))
	wantCode(t, err, inventory.AssociationLimitExceeded)
	tr.associate(gather(named(node(3))))
}

// TestClocksAheadAreHeardAgain has a node whose clock was an hour ahead: once it is right, the node is heard at once.
func TestClocksAheadAreHeardAgain(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	id := tr.enrol(1)[0]
	a := tr.associate(gather(everywhere))
	tr.wantTold(id, map[string]string{a: "v1 Pending"})
	ahead := ssm.RunReport{Association: a, Node: id, Status: "Pending", At: time.Now().Add(time.Hour)}
	if err := tr.UpdateRun(t.Context(), home, ahead); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // reports are told apart by milliseconds
	tr.say(id, a, "Success")
	tr.wantTold(id, map[string]string{a: "v1 Success"})
}
