package ssm

import (
	"context"
	"slices"
	"testing"
	"time"

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

// TestPruneLeavesWhatLives drops what is left of a deleted association and of a removed node, and nothing else.
func TestPruneLeavesWhatLives(t *testing.T) {
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
	defer func() { s.Stop(); _ = rep.Close() }()
	ctx, p := t.Context(), inventory.Partition{Account: "000000000000", Region: "eu-north-1"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	poll := func(ids ...inventory.NodeID) {
		for _, id := range ids {
			_, err := s.ListNodeAssociations(ctx, p, ListNodeAssociationsInput{Node: id})
			must(err)
		}
	}
	create := func(targets ...string) string {
		a, err := s.CreateAssociation(ctx, p, CreateAssociationInput{AssociationSettings: AssociationSettings{Document: GatherInventory, Targets: []Target{{idTarget, targets}}}})
		must(err)
		_, err = s.UpdateAssociation(ctx, p, UpdateAssociationInput{ID: a.ID})
		must(err)
		return a.ID
	}
	must(s.RegisterNode(ctx, p, "i-00000001"))
	must(s.RegisterNode(ctx, p, "i-00000002"))
	every, own := create("*"), create("i-00000001")
	poll("i-00000001", "i-00000002")
	must(s.pruneAssociations(ctx))
	want := map[string]int{recordAssociation: 2, recordAssociationVersion: 2, recordAssociationClaim: 1, recordRun: 3}
	compare := func() {
		t.Helper()
		got := families(t, st)
		for family, n := range want {
			if got[family] != n {
				t.Errorf("%d records of %s are there, want %d", got[family], family, n)
			}
		}
	}
	compare()

	must(s.RemoveNode(ctx, p, "i-00000002"))
	must(s.DeleteAssociation(ctx, p, AssociationName{ID: own}))
	poll("i-00000001")
	must(s.pruneAssociations(ctx))
	// The run of the deleted association was written a moment ago, and stays for an hour.
	want = map[string]int{recordAssociation: 1, recordAssociationVersion: 1, recordAssociationClaim: 1, recordRun: 2}
	compare()

	recs, err := st.ListRecords(ctx, store.Key(recordRun, ""), "", 10)
	must(err)
	at := slices.IndexFunc(recs, func(rec store.Record) bool { return store.KeyParts(rec.Key)[4] == own })
	_, key, r, err := parseRun(recs[at])
	must(err)
	r.Gone = time.Now().Add(-2 * time.Hour)
	for i := range r.Past {
		r.Past[i].At = r.Gone
	}
	must(s.putRun(ctx, key, own, r))
	must(s.DeleteAssociation(ctx, p, AssociationName{ID: every}))
	must(s.pruneAssociations(ctx))
	want = map[string]int{recordRun: 1}
	compare()
}
