package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func recordsCompareAndSwap(t *testing.T, m Maker) {
	r := newTrial(t, m)
	ctx := t.Context()
	first := r.put("job/1", "one", 0)
	conflicts := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", what, err)
		}
	}
	_, err := r.s.PutRecord(ctx, store.Record{Key: "job/1", Value: []byte("again")})
	conflicts("a second first put", err)
	second := r.put("job/1", "two", first)
	_, err = r.s.PutRecord(ctx, store.Record{Key: "job/1", Value: []byte("late"), Revision: first})
	conflicts("a put over a newer revision", err)
	_, err = r.s.PutRecord(ctx, store.Record{Key: "job/2", Revision: second})
	conflicts("a put from a revision where there is no record", err)
	conflicts("a delete of a newer revision", r.s.DeleteRecord(ctx, "job/1", first))
	if err := r.s.DeleteRecord(ctx, "job/2", second); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a delete where there is no record: %v, want ErrNotFound", err)
	}
	if got, err := r.s.Record(ctx, "job/1"); err != nil || string(got.Value) != "two" || got.Revision != second || got.Key != "job/1" {
		t.Errorf("record: %+v, %v", got, err)
	}
	r.check(r.s.DeleteRecord(ctx, "job/1", second))
	if _, err := r.s.Record(ctx, "job/1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted record: %v, want ErrNotFound", err)
	}
	if third := r.put("job/1", "", 0); third <= second || second <= first {
		t.Errorf("revisions went %d, %d, %d", first, second, third)
	}
	if got, err := r.s.Record(ctx, "job/1"); err != nil || len(got.Value) != 0 {
		t.Errorf("record of no bytes: %+v, %v", got, err)
	}
	if _, err := r.s.PutRecord(ctx, store.Record{}); err == nil {
		t.Error("a record without a key was stored")
	}
}

func racingRecordsOneWins(t *testing.T, m Maker) { newTrial(t, m).raceRecords() }

func (r *trial) raceRecords() {
	r.Helper()
	revision := uint64(0)
	for round := range 15 {
		var won, next atomic.Uint64
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				got, err := r.handle(i).PutRecord(r.Context(), store.Record{Key: "lease", Value: fmt.Append(nil, i), Revision: revision})
				switch {
				case err == nil:
					won.Add(1)
					next.Store(got)
				case !errors.Is(err, store.ErrConflict):
					r.Errorf("racing put: %v", err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || next.Load() <= revision {
			r.Fatalf("round %d: %d of 8 racing puts won, revision %d after %d", round, won.Load(), next.Load(), revision)
		}
		revision = next.Load()
	}
}

func listRecordsOrder(t *testing.T, m Maker) {
	r := newTrial(t, m)
	var keys []string
	for _, parts := range [][]string{
		{"a"},
		{"a", "b"},
		{"a", "b", "c"},
		{"a/b", "c"},
		{"a%2Fb"},
		{"ab"},
		{"a", ""},
		{"a", "\xff"},
		{"a", "\xff\xff", "x"},
		{"\xff"},
		{"\xff\xff"},
		{"b", "\x00"},
		{"b"},
		{"ü"},
	} {
		key := store.Key(parts...)
		if !slices.Equal(store.KeyParts(key), parts) {
			t.Errorf("parts %q make the key %q, which has parts %q", parts, key, store.KeyParts(key))
		}
		keys = append(keys, key)
		r.put(key, "of "+key, 0)
	}
	slices.Sort(keys)
	for _, prefix := range []string{"", "a", "a/", "a/b", "b/", "\xff", "\xff\xff", "nothing"} {
		for _, after := range append([]string{"", "a/", "zzz", "\xff\xff\xff"}, keys...) {
			for _, limit := range []int{1, 3, 100} {
				r.list(keys, prefix, after, limit)
			}
		}
	}
}

// list checks one listing against the sorted keys.
func (r *trial) list(keys []string, prefix, after string, limit int) {
	r.Helper()
	var want, got []string
	for _, k := range keys {
		if len(k) >= len(prefix) && k[:len(prefix)] == prefix && k > after && len(want) < limit {
			want = append(want, k)
		}
	}
	records, err := r.s.ListRecords(r.Context(), prefix, after, limit)
	r.check(err)
	for _, record := range records {
		got = append(got, record.Key)
		if string(record.Value) != "of "+record.Key || record.Revision == 0 {
			r.Errorf("list gives %+v", record)
		}
	}
	if !slices.Equal(want, got) {
		r.Errorf("list of prefix %q after %q, at most %d: %q, want %q", prefix, after, limit, got, want)
	}
}

func recordsHeadMoves(t *testing.T, m Maker) {
	r := newTrial(t, m)
	seen := map[inventory.Position]string{}
	head := func(what string, moved bool) {
		t.Helper()
		h := r.recordsHead()
		if before, again := seen[h]; again == moved {
			t.Errorf("head after %s is %v, as after %q; moved should be %v", what, h, before, moved)
		}
		if moved && (h.Seq == 0 || h.ID == (inventory.ChangeID{})) {
			t.Errorf("head after %s is %v, which is no position", what, h)
		}
		seen[h] = what
	}
	if h := r.recordsHead(); h != (inventory.Position{}) {
		t.Errorf("head before the first write is %v", h)
	}
	one := r.put("k", "1", 0)
	head("a first put", true)
	two := r.put("k", "2", one)
	head("a put", true)
	other := r.put("l", "1", 0)
	head("a put of another", true)
	r.check(r.s.DeleteRecord(t.Context(), "k", two))
	head("a delete", true)
	three := r.put("k", "2", 0)
	head("a put of what was there before", true)
	r.put("k", "2", three)
	head("a put of the same", true)
	r.report(Node(1), Epoch, packages("a"))
	_, _ = r.s.PutRecord(t.Context(), store.Record{Key: "l"})
	_, _ = r.s.PutRecord(t.Context(), store.Record{Key: "m", Revision: other})
	_ = r.s.DeleteRecord(t.Context(), "l", one)
	_ = r.s.DeleteRecord(t.Context(), "m", one)
	head("a report and conflicts", false)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() { r.put(fmt.Sprint("n", i), "", 0) })
	}
	group.Wait()
	head("puts at once", true)
}

func (r *trial) recordsHead() inventory.Position {
	r.Helper()
	head, err := r.s.RecordsHead(r.Context())
	r.check(err)
	return head
}
