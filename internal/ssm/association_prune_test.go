package ssm

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
)

// families gives how many records there are of each family that associations leave.
func families(t *testing.T, st store.Store) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, family := range []string{recordAssociation, recordAssociationVersion, recordAssociationClaim, recordRun} {
		err := eachRecord(t.Context(), st, store.Key(family, ""), func(store.Record) error { all[family]++; return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// attic is a service in one process, with what upkeep is to clear.
type attic struct {
	*Service
	t *testing.T
	p inventory.Partition
}

func newAttic(t *testing.T) attic {
	t.Helper()
	st, err := memory.New(4)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := replica.Open(context.Background(), st, replica.Options{Limits: inventory.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(st, rep, Config{Limits: inventory.DefaultLimits(), Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if err := rep.Close(); err != nil {
			t.Error(err)
		}
	})
	return attic{Service: s, t: t, p: inventory.Partition{Account: "000000000000", Region: "eu-north-1"}}
}

func (a attic) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a attic) poll(ids ...inventory.NodeID) {
	a.t.Helper()
	for _, id := range ids {
		_, err := a.ListNodeAssociations(a.t.Context(), a.p, ListNodeAssociationsInput{Node: id})
		a.must(err)
	}
}

// create makes an association of two versions.
func (a attic) create(targets ...string) string {
	a.t.Helper()
	made, err := a.CreateAssociation(a.t.Context(), a.p, CreateAssociationInput{
		AssociationSettings: AssociationSettings{Document: GatherInventory, Targets: []Target{{idTarget, targets}}},
	})
	a.must(err)
	_, err = a.UpdateAssociation(a.t.Context(), a.p, UpdateAssociationInput{ID: made.ID})
	a.must(err)
	return made.ID
}

// age has the runs of an association written two hours ago, by the nodes that are no longer among its targets.
func (a attic) age(association string) {
	a.t.Helper()
	recs, err := a.store.ListRecords(a.t.Context(), store.Key(recordRun, ""), "", 10)
	a.must(err)
	for _, rec := range recs {
		id, key, r, err := parseRun(rec)
		a.must(err)
		if id != association {
			continue
		}
		r.Gone = time.Now().Add(-2 * time.Hour)
		for i := range r.Past {
			r.Past[i].At = r.Gone
		}
		a.must(a.putRun(a.t.Context(), key, id, r))
	}
}

// pruned clears, and wants so many records of each family to stay.
func (a attic) pruned(want map[string]int) {
	a.t.Helper()
	a.must(a.pruneAssociations(a.t.Context()))
	if diff := cmp.Diff(want, families(a.t, a.store)); diff != "" {
		a.t.Errorf("records (-want +got):\n%s", diff)
	}
}

// TestPruneLeavesWhatLives drops what is left of a deleted association and of a removed node, and nothing else.
func TestPruneLeavesWhatLives(t *testing.T) {
	a := newAttic(t)
	a.must(a.RegisterNode(t.Context(), a.p, "i-00000001"))
	a.must(a.RegisterNode(t.Context(), a.p, "i-00000002"))
	every, own := a.create("*"), a.create("i-00000001")
	a.poll("i-00000001", "i-00000002")
	a.pruned(map[string]int{recordAssociation: 2, recordAssociationVersion: 2, recordAssociationClaim: 1, recordRun: 3})

	a.must(a.RemoveNode(t.Context(), a.p, "i-00000002"))
	a.must(a.DeleteAssociation(t.Context(), a.p, AssociationName{ID: own}))
	a.poll("i-00000001")
	// The run of the deleted association was written a moment ago, and stays for an hour.
	a.pruned(map[string]int{recordAssociation: 1, recordAssociationVersion: 1, recordAssociationClaim: 1, recordRun: 2})

	a.age(own)
	a.must(a.DeleteAssociation(t.Context(), a.p, AssociationName{ID: every}))
	a.pruned(map[string]int{recordRun: 1})
}
