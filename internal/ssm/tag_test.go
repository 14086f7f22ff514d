package ssm_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

func tagged(id inventory.NodeID) ssm.Resource {
	return ssm.Resource{Type: "ManagedInstance", ID: string(id)}
}

func TestTagsAreBounded(t *testing.T) {
	tr := newTrial(t)
	tr.mustReport(node(1), item(application, entry("Name", "a")))
	var tags []ssm.Tag
	for n := range 50 {
		tags = append(tags, ssm.Tag{Key: fmt.Sprint(n)})
	}
	if err := tr.AddTags(t.Context(), home, tagged(node(1)), tags); err != nil {
		t.Fatal(err)
	}
	if err := tr.AddTags(t.Context(), home, tagged(node(1)), []ssm.Tag{{Key: "7", Value: "over"}}); err != nil {
		t.Errorf("a tag over one that is there: %v", err)
	}
	wantCode(t, tr.AddTags(t.Context(), home, tagged(node(1)), []ssm.Tag{{Key: "one more"}}), inventory.TooManyTags)
	if got, err := tr.ListTags(t.Context(), home, tagged(node(1))); err != nil || len(got) != 50 {
		t.Errorf("%d tags, %v", len(got), err)
	}
}

// TestTagsOfRacingCallsAllStay has many calls each add one tag.
func TestTagsOfRacingCallsAllStay(t *testing.T) {
	tr := newTrial(t)
	tr.mustReport(node(1), item(application, entry("Name", "a")))
	const calls = 20
	errs := make(chan error, calls)
	for n := range calls {
		go func() {
			errs <- tr.AddTags(context.WithoutCancel(t.Context()), home, tagged(node(1)), []ssm.Tag{{Key: fmt.Sprint(n)}})
		}()
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got, err := tr.ListTags(t.Context(), home, tagged(node(1))); err != nil || len(got) != calls {
		t.Errorf("%d tags, %v", len(got), err)
	}
}

func TestTagsStayAsLongAsTheirNode(t *testing.T) {
	retained(t, func(t *testing.T, fl *lapsing) {
		fl.mustReport(node(1), item(application, entry("Name", "a")))
		if err := fl.AddTags(t.Context(), home, tagged(node(1)), []ssm.Tag{{Key: "Stage", Value: "test"}}); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			fl.pass(day)
			fl.mustReport(node(1), item(application, entry("Name", "a")))
		}
		if got, err := fl.ListTags(t.Context(), home, tagged(node(1))); err != nil || len(got) != 1 {
			t.Errorf("of a node that went on reporting: %v, %v", got, err)
		}
		fl.pass(5*day + 2*time.Hour)
		_, err := fl.ListTags(t.Context(), home, tagged(node(1)))
		wantCode(t, err, inventory.InvalidResourceID)
	})
}
