package agent

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestSourceIsAnAddressOrANetwork(t *testing.T) {
	for host, want := range map[string]string{
		"192.0.2.7":                "192.0.2.7",
		"::ffff:192.0.2.7":         "192.0.2.7",
		"2001:db8:1:2:3:4:5:6":     "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":      "2001:db8:1:2::/64",
		"2001:db8:1:3:3:4:5:6":     "2001:db8:1:3::/64",
		"fe80::1%eth0":             "fe80::/64",
		"@":                        "@",
		"":                         "",
		"no address at all, ever.": "no address at all, ever.",
	} {
		if got := sourceOf(host); got != want {
			t.Errorf("%q counts as %q, not %q", host, got, want)
		}
	}
}

// TestBucketHoldsToItsRate takes at random for a long time: never more than the burst and what came in since, and never
// less than was there.
func TestBucketHoldsToItsRate(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const rate, burst = 5.0, 20.0
	b := newBuckets(rate, burst)
	start := time.Unix(1_000_000, 0)
	now := start
	taken := 0.0
	level := burst // what must be there, reckoned anew
	for range 5000 {
		step := time.Duration(random.IntN(400)) * time.Millisecond
		now = now.Add(step)
		level = min(burst, level+step.Seconds()*rate)
		left := b.left("a", now)
		ok := b.take("a", now)
		near := math.Abs(level-1) < 1e-6 // sums of fractions may come out on either side
		if ok != left || ok != (level >= 1) && !near {
			t.Fatalf("took %v with %v said to be left of %v", ok, left, level)
		}
		if ok {
			taken++
			level--
		}
		if most := burst + now.Sub(start).Seconds()*rate; taken > most+1e-6 {
			t.Fatalf("%v were taken, of at most %v", taken, most)
		}
	}
	if !b.take("b", now) {
		t.Error("one source takes from another's")
	}
}

func TestClockThatGoesBackFillsNothing(t *testing.T) {
	b := newBuckets(1, 1)
	now := time.Unix(1_000_000, 0)
	if !b.take("a", now) || b.take("a", now.Add(-time.Hour)) || b.take("a", now) {
		t.Error("a bucket filled by a clock that went back")
	}
	if !b.take("a", now.Add(time.Second)) {
		t.Error("a bucket does not fill again")
	}
}

// TestSourcesAreForgotten holds memory to a bound, and an empty bucket to being remembered for a while.
func TestSourcesAreForgotten(t *testing.T) {
	b := newBuckets(0.001, 1)
	now := time.Unix(1_000_000, 0)
	b.take("busy", now)
	for i := range 4 * mostSources {
		b.take(fmt.Sprint(i), now)
		if i%1000 == 0 && b.take("busy", now) {
			t.Fatal("who goes on asking was forgotten")
		}
	}
	if n := len(b.now) + len(b.old); n > 2*mostSources {
		t.Errorf("%d sources are remembered", n)
	}
}
