package ssm

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
)

var somewhere = inventory.Partition{Account: "000000000000", Region: "eu-north-1"}

// TestBucketsStaySmall holds what half a minute of a fleet's heartbeats may cost the store.
func TestBucketsStaySmall(t *testing.T) {
	h := newHeartbeats()
	const nodes = 10_000
	for n := range nodes {
		h.take(inventory.NodeKey{Partition: somewhere, Node: inventory.NodeID(fmt.Sprintf("mi-%017x", n*7919))})
	}
	total, largest := 0, 0
	for _, k := range h.dirty() {
		rec, _ := h.value(k, func(inventory.NodeKey) bool { return true })
		size := len(rec.Value)
		total += size
		largest = max(largest, size)
	}
	if total > 30*nodes || largest > 8<<10 {
		t.Errorf("%d nodes take %d bytes, %d in the largest record", nodes, total, largest)
	}
	if left := h.dirty(); len(left) != 0 {
		t.Errorf("%d buckets still have news", len(left))
	}
}

// TestMergeTakesTheLater has two servers tell of the same nodes, one with a clock that lied.
func TestMergeTakesTheLater(t *testing.T) {
	now := time.Now().Unix()
	k := bucketKey{somewhere, 1}
	h := newHeartbeats()
	h.merge(k, &bucket{beats: map[inventory.NodeID]beat{"i-00000001": {at: now - 50}, "i-00000002": {at: now - 50}}}, 1)
	h.merge(k, &bucket{beats: map[inventory.NodeID]beat{
		"i-00000001": {at: now - 90}, "i-00000002": {at: now - 10}, "i-00000003": {at: now + 3600}, "i-00000004": {at: now + 60},
	}}, 2)
	got := map[inventory.NodeID]int64{}
	for id, heard := range h.buckets[k].beats {
		got[id] = min(heard.at-now, 0) // a second may have passed
		if heard.at > now+5 {
			t.Errorf("%s was heard of %d seconds ahead", id, heard.at-now)
		}
	}
	want := map[inventory.NodeID]int64{"i-00000001": -50, "i-00000002": -10, "i-00000003": 0, "i-00000004": 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestClocksAheadMoveNodesOnOnce has a server whose clock is a day ahead tell of a node, the same again, and then anew.
func TestClocksAheadMoveNodesOnOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := inventory.NodeKey{Partition: somewhere, Node: "i-00000001"}
		k := bucketOf(key)
		h := newHeartbeats()
		tell := func(ahead time.Duration) {
			h.merge(k, &bucket{beats: map[inventory.NodeID]beat{key.Node: {at: time.Now().Add(ahead).Unix()}}}, 1)
			h.synced = h.now()
		}
		tell(24 * time.Hour)
		time.Sleep(time.Hour)
		tell(23 * time.Hour) // the same time
		if d, ok := h.silence(key); !ok || d != time.Hour {
			t.Errorf("told the same again, the node has been silent for %v, %v", d, ok)
		}
		tell(24 * time.Hour)
		if d, ok := h.silence(key); !ok || d != 0 {
			t.Errorf("told anew, the node has been silent for %v, %v", d, ok)
		}
	})
}

// TestOwnEarsAreTrusted has a node heard of after a clock that was ahead was put right.
func TestOwnEarsAreTrusted(t *testing.T) {
	key := inventory.NodeKey{Partition: somewhere, Node: "i-00000001"}
	h := newHeartbeats()
	h.bucket(bucketOf(key)).hear(key.Node, beat{at: time.Now().Add(time.Hour).Unix()})
	h.take(key)
	if b, _ := h.last(key); b.at > time.Now().Unix() {
		t.Errorf("the last heartbeat is %d seconds ahead", b.at-time.Now().Unix())
	}
}

func TestForgetsWhoIsUnknown(t *testing.T) {
	k := bucketKey{somewhere, 1}
	h := newHeartbeats()
	old := time.Now().Add(-2 * time.Hour).Unix()
	h.merge(k, &bucket{beats: map[inventory.NodeID]beat{"i-00000001": {at: old}, "i-00000002": {at: old}, "i-00000003": {at: old + 7000}}}, 1)
	h.value(k, func(key inventory.NodeKey) bool { return key.Node == "i-00000001" })
	if _, known := h.buckets[k].beats["i-00000002"]; known || len(h.buckets[k].beats) != 2 {
		t.Errorf("left are %v", h.buckets[k].beats)
	}
}

// TestRefusalsAreBounded takes in records of another server with more refusals than a bucket keeps, and than all do.
func TestRefusalsAreBounded(t *testing.T) {
	h := newHeartbeats()
	from := time.Now().Add(-time.Hour)
	said := &bucket{refusals: map[inventory.NodeID]Refusal{}}
	for n := range mostRefusals + 4 {
		said.refusals[inventory.NodeID(fmt.Sprintf("i-%08d", n))] = Refusal{Time: from.Add(time.Duration(n) * time.Second)}
	}
	h.merge(bucketKey{somewhere, 0}, said, 1)
	for id, r := range h.buckets[bucketKey{somewhere, 0}].refusals {
		if r.Time.Sub(from) < 4*time.Second {
			t.Errorf("the refusal of %s is kept instead of a newer one", id)
		}
	}
	for n := range refusalsInAll/mostRefusals + 50 {
		h.merge(bucketKey{somewhere, n}, said, 1)
	}
	kept := 0
	for _, b := range h.buckets {
		kept += len(b.refusals)
		if len(b.refusals) > mostRefusals {
			t.Errorf("%d refusals are kept in a bucket", len(b.refusals))
		}
	}
	if kept != refusalsInAll || h.refusals != kept {
		t.Errorf("%d refusals are kept, and counted as %d", kept, h.refusals)
	}
}

// TestRefusalsAge keeps two refusals for a month, of a node that is known and of one that is not.
func TestRefusalsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := func(inventory.NodeKey) bool { return true }
		key, stranger := inventory.NodeKey{Partition: somewhere, Node: "i-00000001"}, inventory.NodeKey{Partition: somewhere, Node: "i-00000002"}
		h := newHeartbeats()
		h.refuse(key, true, Refusal{Text: "No.", Time: time.Now()})
		h.refuse(stranger, false, Refusal{Text: "No.", Time: time.Now()})
		rec, _ := h.value(bucketOf(key), all)
		h.written(bucketOf(key), 7)
		said, err := decodeBucket(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		kept := func(when string, want bool) {
			t.Helper()
			h.tidy(all)
			for _, k := range []inventory.NodeKey{key, stranger} {
				if _, ok := h.refusal(k); ok != want {
					t.Errorf("%s, the refusal of %s is kept: %v", when, k.Node, ok)
				}
			}
		}
		time.Sleep(29 * 24 * time.Hour)
		kept("after 29 days", true)
		time.Sleep(2 * 24 * time.Hour)
		kept("after 31 days", false)
		h.merge(bucketOf(key), said, 7)
		kept("told of it again", false)
		if dirty := h.dirty(); len(dirty) != 1 {
			t.Fatalf("%d buckets are to be written", len(dirty))
		}
		if rec, empty := h.value(bucketOf(key), all); !empty || rec.Revision != 7 {
			t.Errorf("revision %d of the record is left, the bucket being empty: %v", rec.Revision, empty)
		}
		if h.removed(bucketOf(key)); len(h.buckets) != 0 {
			t.Errorf("%d buckets are left of nothing", len(h.buckets))
		}
	})
}

// FuzzBucket reads anything, and what it read again after writing it.
func FuzzBucket(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeBucket(&bucket{}))
	f.Add(encodeBucket(&bucket{
		beats:    map[inventory.NodeID]beat{"i-00000001": {at: 1790000000}, "mi-00000000000000001": {at: 1790000300}},
		refusals: map[inventory.NodeID]Refusal{"i-00000001": {Action: "PutInventory", Code: "InvalidInstanceId", Text: "no", Time: time.Unix(1790000100, 0).UTC()}},
	}))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := decodeBucket(text)
		if err != nil {
			return
		}
		again, err := decodeBucket(encodeBucket(b))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, again, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Error(diff)
		}
	})
}
