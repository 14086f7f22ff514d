package collect

import (
	"crypto/md5" //nolint:gosec // the stock agent's content hash is MD5; it is a change detector, not a safeguard
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

// The stock agent's own limits, by the JSON of an item and of a call.
const (
	maxItemBytes = 3072 << 10
	maxCallBytes = 10240 << 10
)

// newItem makes the item of typed content: a slice of structs in the stock agent's field order, or of string maps. The
// hash is taken over that order; the entries are what the JSON holds, by name. An empty slice must be nil: the stock
// agent hashes no entries as the text null.
func newItem[T any](name inventory.TypeName, version, captured string, content []T) (inventory.Item, error) {
	if len(content) == 0 {
		content = nil
	}
	text, err := json.Marshal(content)
	if err != nil {
		return inventory.Item{}, fmt.Errorf("encode %s: %w", name, err)
	}
	var rows []map[string]string
	if err := json.Unmarshal(text, &rows); err != nil {
		return inventory.Item{}, fmt.Errorf("encode %s: %w", name, err)
	}
	item := inventory.Item{
		Type: name, SchemaVersion: version, CaptureTime: captured, ContentHash: contentHash(text), HasContent: true,
		Content: make([]inventory.Entry, len(rows)),
	}
	for i, row := range rows {
		item.Content[i] = entryOf(row)
	}
	wire, err := Marshal([]inventory.Item{item})
	if err != nil {
		return inventory.Item{}, err
	}
	item.Bytes = len(wire) - len("[]")
	return item, nil
}

func contentHash(text []byte) string {
	sum := md5.Sum(text) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

func entryOf(row map[string]string) inventory.Entry {
	entry := make(inventory.Entry, 0, len(row))
	for name, value := range row {
		entry = append(entry, inventory.Attribute{Name: name, Value: value})
	}
	slices.SortFunc(entry, func(a, b inventory.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return entry
}

// wireItem is an item as JSON names it.
type wireItem struct {
	TypeName      string
	SchemaVersion string
	CaptureTime   string
	ContentHash   string               `json:",omitempty"`
	Content       *[]map[string]string `json:",omitempty"`
}

// Marshal gives the items as the Items member of PutInventory holds them: compact JSON, attributes by name, Content
// absent from an item that is only a hash.
func Marshal(items []inventory.Item) ([]byte, error) {
	out := make([]wireItem, len(items))
	for i, item := range items {
		out[i] = wireItem{
			TypeName: string(item.Type), SchemaVersion: item.SchemaVersion, CaptureTime: item.CaptureTime,
			ContentHash: item.ContentHash,
		}
		if !item.HasContent {
			continue
		}
		rows := make([]map[string]string, len(item.Content))
		for j, entry := range item.Content {
			rows[j] = make(map[string]string, len(entry))
			for _, a := range entry {
				rows[j][a.Name] = a.Value
			}
		}
		out[i].Content = &rows
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode items: %w", err)
	}
	return text, nil
}

// checkSizes refuses what the stock agent would refuse to send.
func checkSizes(items []inventory.Item) error {
	total := 0
	for _, item := range items {
		if item.Bytes > maxItemBytes {
			return fmt.Errorf("%s is %d KiB, and an item may be %d KiB: collect less of it (a narrower file filter, a smaller custom file)",
				item.Type, item.Bytes>>10, maxItemBytes>>10)
		}
		total += item.Bytes
	}
	if total > maxCallBytes {
		return fmt.Errorf("the items are %d KiB together, and a report may be %d KiB: collect fewer types", total>>10, maxCallBytes>>10)
	}
	return nil
}
