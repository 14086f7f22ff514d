package rate

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestSourceIsAnAddressOrANetwork(t *testing.T) {
	for host, want := range map[string]string{
		"192.0.2.7":                "192.0.2.7/32",
		"::ffff:192.0.2.7":         "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6":     "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":      "2001:db8:1:2::/64",
		"2001:db8:1:3:3:4:5:6":     "2001:db8:1:3::/64",
		"fe80::1%eth0":             "fe80::/64",
		"@":                        "invalid Prefix",
		"":                         "invalid Prefix",
		"no address at all, ever.": "invalid Prefix",
	} {
		if got := Source(host).String(); got != want {
			t.Errorf("%q counts as %s, not %s", host, got, want)
		}
	}
}

// TestBucketHoldsToItsRate takes at random for a long time: never more than the burst and what came in since, and never
// less than was there.
func TestBucketHoldsToItsRate(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const each, burst = 200 * time.Millisecond, 20
	b := New[string](5, burst*each)
	now := time.Now()
	level := burst * each // what must be there, in the time it takes to come in
	refused := int64(0)
	for range 5000 {
		step := time.Duration(random.Int64N(int64(400 * time.Millisecond)))
		now = now.Add(step)
		level = min(burst*each, level+step)
		left, took := b.Left("a", now), b.Take("a", now)
		if want := level >= each; took != want || left != want {
			t.Fatalf("took %v, said to be left %v, with %v of %v there", took, left, level, each)
		}
		if took {
			level -= each
		} else {
			refused++
		}
	}
	if !b.Take("b", now) {
		t.Error("one key takes from another's bucket")
	}
	if refused == 0 || b.Refused() != refused {
		t.Errorf("%d refusals are counted, of %d", b.Refused(), refused)
	}
}

func TestNoRateBoundsNothing(t *testing.T) {
	b := New[string](0, time.Minute)
	for range 1000 {
		if !b.Take("a", time.Now()) || !b.Left("a", time.Now()) {
			t.Fatal("refused")
		}
	}
	if b.Refused() != 0 {
		t.Error("refusals are counted")
	}
}

func TestClockThatGoesBackFillsNothing(t *testing.T) {
	b := New[string](1, time.Second)
	now := time.Now().Add(2 * time.Hour)
	if !b.Take("a", now) || b.Take("a", now.Add(-time.Hour)) {
		t.Error("a bucket filled by a clock that went back")
	}
	if !b.Take("b", now) || b.Take("b", now) || !b.Take("b", now.Add(time.Second)) {
		t.Error("a bucket does not fill again")
	}
}

// TestKeysAreForgotten holds memory to its bound, and an empty bucket to being remembered for a while.
func TestKeysAreForgotten(t *testing.T) {
	b := New[int](0.001, 0)
	now := time.Now()
	b.Take(-1, now)
	for i := range 5 * most / 2 {
		b.Take(i, now)
		if i == most/2 && b.Take(-1, now) {
			t.Fatal("who has nothing left is forgotten while there is room")
		}
	}
	if n := len(b.now) + len(b.old); n > 2*most {
		t.Errorf("%d keys are remembered", n)
	}
}

// TestFullBucketsAreForgotten waits until all are full: what is asked after keeps the memory of the few alone.
func TestFullBucketsAreForgotten(t *testing.T) {
	b := New[int](10, time.Second)
	now := time.Now()
	for i := range 1000 {
		b.Take(i, now)
	}
	for range 3 {
		now = now.Add(2 * time.Second)
		b.Take(0, now)
	}
	if n := len(b.now) + len(b.old); n > 2 {
		t.Errorf("%d keys are remembered", n)
	}
}

func BenchmarkTake(b *testing.B) {
	buckets := New[string](1e12, time.Minute)
	b.ReportAllocs()
	now := time.Now()
	for b.Loop() {
		buckets.Take("AKIAIOSFODNN7EXAMPLE", now)
	}
}
