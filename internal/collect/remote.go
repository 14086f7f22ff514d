package collect

import (
	"context"
	"encoding/json"
	"fmt"

	"stocktake/internal/inventory"
)

// Caller calls an action of the API with a JSON body and gives the JSON of its answer; *client.Client is one.
type Caller interface {
	Do(ctx context.Context, action string, body []byte) ([]byte, error)
}

// Remote is the Service behind a Caller.
type Remote struct{ Caller Caller }

// PutInventory makes one call of that action.
func (r Remote) PutInventory(ctx context.Context, node inventory.NodeID, items []inventory.Item) error {
	text, err := Marshal(items)
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		InstanceId inventory.NodeID //nolint:revive,staticcheck // the member's name on the wire
		Items      json.RawMessage
	}{node, text})
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	_, err = r.Caller.Do(ctx, "PutInventory", body)
	return err
}

const (
	// pageSize is the most ListInventoryEntries gives at once.
	pageSize = 50
	// maxPages bounds what is read of a type: the 10,000 entries that an item may have.
	maxPages = 200
)

// Entries reads the pages of ListInventoryEntries.
func (r Remote) Entries(ctx context.Context, node inventory.NodeID, t inventory.TypeName) ([]inventory.Entry, error) {
	var all []inventory.Entry
	token := ""
	for range maxPages {
		body, err := json.Marshal(struct {
			InstanceId inventory.NodeID //nolint:revive,staticcheck // the member's name on the wire
			TypeName   inventory.TypeName
			MaxResults int
			NextToken  string `json:",omitempty"`
		}{node, t, pageSize, token})
		if err != nil {
			return nil, fmt.Errorf("encode the question: %w", err)
		}
		text, err := r.Caller.Do(ctx, "ListInventoryEntries", body)
		if err != nil {
			return nil, err
		}
		var page struct {
			Entries   []map[string]string
			NextToken string
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, fmt.Errorf("ListInventoryEntries gave an answer of another form: %w", err)
		}
		for _, row := range page.Entries {
			all = append(all, entryOf(row))
		}
		if token = page.NextToken; token == "" {
			return all, nil
		}
	}
	return nil, fmt.Errorf("ListInventoryEntries gave more than %d pages of %s", maxPages, t)
}
