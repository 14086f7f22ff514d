package ssm_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"stocktake/internal/inventory"
)

// TestReportsCallTheStoreAsLittleAsTheyCan holds reports to the calls each needs: over a network every one is a round
// trip.
func TestReportsCallTheStoreAsLittleAsTheyCan(t *testing.T) {
	synctest.Test(t, reportsCallTheStoreAsLittleAsTheyCan)
}

func reportsCallTheStoreAsLittleAsTheyCan(t *testing.T) {
	s := newServers(t, 1)[0]
	defer s.stop()
	full := func(values ...string) []inventory.Item {
		return []inventory.Item{
			withHash(item(application, entry("Name", values[0])), values[0]),
			withHash(item(file, entry("Name", values[1])), values[1]),
		}
	}
	own := func(value string) inventory.Item { return withHash(item(rack, entry("Location", value)), value) }
	s.mustReport(node(9), own("a"))
	s.stop() // another server
	s.start()
	s.find()
	synctest.Wait() // until the service's own work is done for the time being
	s.mustReport(node(8), own("a"))
	for _, c := range []struct {
		name  string
		items []inventory.Item
		want  string
	}{
		{"new node", full("a", "b"), "node, commit"},
		{"changed", full("c", "d"), "read, commit"},
		{"one changed", full("c", "e"), "read, commit"},
		{"unchanged, in full", full("c", "e"), "commit"},
		{"unchanged, by hash", []inventory.Item{hashOnly(application, "c"), hashOnly(file, "e")}, "commit"},
		{"without hashes", []inventory.Item{item(application, entry("Name", "c")), item(file, entry("Name", "x"))}, "read, commit"},
		{"own type, new", []inventory.Item{own("a")}, "commit"},
		{"own type, unchanged", []inventory.Item{hashOnly(rack, "a")}, "commit"},
		{"own type, changed", []inventory.Item{own("b")}, "read, commit"},
	} {
		s.calls.watch()
		s.mustReport(node(1), c.items...)
		var got []string
		for _, name := range s.calls.names() {
			got = append(got, strings.Fields(name)[0])
		}
		if want := strings.Split(c.want, ", "); !slices.Equal(got, want) {
			t.Errorf("%s: the store is called for %v, want %v", c.name, s.calls.names(), want)
		}
	}
}
