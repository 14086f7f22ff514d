package bench

import (
	"strings"
	"testing"
)

func TestComparisonFailsOnAWrongAnswer(t *testing.T) {
	sides := []Side{{Name: "one", Control: forgetful(t, "{}")}, {Name: "other", Control: forgetful(t, "{}")}}
	o := CompareOptions{Options: Options{Nodes: 3, Seed: 1, Workers: 2, Rounds: 2, Samples: 1}, Sides: sides}
	if _, err := Compare(t.Context(), o); err == nil || !strings.Contains(err.Error(), "one: listing") || !strings.Contains(err.Error(), "wrong answer") {
		t.Errorf("two servers that know nothing: %v", err)
	}
	o.Sides = sides[:1]
	if _, err := Compare(t.Context(), o); err == nil {
		t.Error("one server was compared")
	}
}

func TestTimesAreOfRatesAndOfLatencies(t *testing.T) {
	rate := func(values ...float64) Operation { return Operation{PerSecond: &Spread{}, rounds: values} }
	if got, want := timesAs(rate(1, 2, 4), rate(2, 6, 4)), (Spread{2, 1, 3}); got != want {
		t.Errorf("rates: %v, want %v", got, want)
	}
	if got, want := timesAs(Operation{rounds: []float64{10, 6, 8}}, Operation{rounds: []float64{1, 2, 8}}), (Spread{3, 1, 10}); got != want {
		t.Errorf("latencies: %v, want %v", got, want)
	}
	if got := topOf(map[string]int{"a": 2, "b": 5}); got != 7 {
		t.Errorf("the first page sums up to %d", got)
	}
}

func TestTimeOfATreeHoldsItsChildren(t *testing.T) {
	if CPUOfTree(1) == 0 || CPUOfTree(1<<30) != 0 {
		t.Error("the first process used no time, or one that is not there did")
	}
}
