package ssm_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

func TestTokensLastADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		tr.mustReport(node(1), item(application, entry("Name", "a"), entry("Name", "b")))
		tr.mustReport(node(2), item(application, entry("Name", "a")))
		nodes, err := tr.GetInventory(t.Context(), home, ssm.GetInventoryInput{MaxResults: 1})
		if err != nil {
			t.Fatal(err)
		}
		entries, err := tr.ListInventoryEntries(t.Context(), home, ssm.ListInventoryEntriesInput{Node: node(1), Type: application, MaxResults: 1})
		if err != nil {
			t.Fatal(err)
		}
		again := map[string]func() error{
			"GetInventory": func() error {
				_, err := tr.GetInventory(context.Background(), home, ssm.GetInventoryInput{NextToken: nodes.NextToken})
				return err
			},
			"ListInventoryEntries": func() error {
				_, err := tr.ListInventoryEntries(context.Background(), home, ssm.ListInventoryEntriesInput{Node: node(1), Type: application, NextToken: entries.NextToken})
				return err
			},
		}
		time.Sleep(day - time.Second)
		for action, ask := range again {
			if err := ask(); err != nil {
				t.Errorf("%s within a day: %v", action, err)
			}
		}
		time.Sleep(3 * time.Second)
		for _, ask := range again {
			wantCode(t, ask(), inventory.InvalidNextToken)
		}
	})
}
