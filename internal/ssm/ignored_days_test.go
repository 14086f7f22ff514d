package ssm

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestIgnoredItemsOverDays has a node's items ignored on several days: each is kept once a version and day, for a month, and
// no more of them than a node may write.
func TestIgnoredItemsOverDays(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	var kept []IgnoredItem
	ignore := func(versions ...string) {
		for _, v := range versions {
			if next := withIgnored(kept, []IgnoredItem{{Time: now, Type: "Custom:Rack", Version: v}}); next != nil {
				kept = next
			}
		}
	}
	want := func(want ...string) {
		t.Helper()
		var got []string
		for _, i := range freshIgnored(kept, now) {
			got = append(got, i.Version)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q are told, want %q", got, want)
		}
	}
	ignore("1.0", "2.0", "2.0")
	want("1.0", "2.0")
	now = now.Add(day)
	ignore("2.0", "1.5")
	want("1.0", "2.0", "2.0", "1.5")
	now = now.Add(29*day + time.Hour)
	want("2.0", "1.5")
	now = now.Add(2 * day)
	want()
	var all []string
	for i := range 30 {
		all = append(all, fmt.Sprintf("3.%d", i))
	}
	ignore(all...)
	want(all[:20]...)
	if withIgnored(kept, []IgnoredItem{{Time: now, Type: "Custom:Rack", Version: "5.0"}}) != nil {
		t.Error("a node that was ignored often today has one more written")
	}
	now = now.Add(day)
	ignore("4.0")
	want(append(all[1:20:20], "4.0")...)
}
