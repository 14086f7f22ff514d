package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stocktake/internal/inventory"
)

// Service is what Sender asks of a service. An error it answers with names its code by a method ErrorCode() string
// anywhere in its chain (the name of the wire's error, such as ItemContentMismatchException).
type Service interface {
	// PutInventory reports items of a node, all or none. An item without HasContent goes without the Content member.
	PutInventory(ctx context.Context, node inventory.NodeID, items []inventory.Item) error
	// Entries gives all that the service holds of one type of a node.
	Entries(ctx context.Context, node inventory.NodeID, t inventory.TypeName) ([]inventory.Entry, error)
}

// Sender reports gathered items as the stock agent does: by their hash while they are as the service last took them.
type Sender struct {
	Service Service
	// Endpoint names the service in the remembered state; two endpoints share nothing.
	Endpoint string
	// StateDir is the folder of the remembered state; see the function StateDir.
	StateDir string
	// Managed says that the id belongs to this machine's own key pair: no other is looked for that reports under it.
	Managed bool
}

// Sent tells what Send did.
type Sent struct {
	// Full and HashOnly count the items of the last attempt.
	Full, HashOnly int
	// Again is set when the service knew other content than remembered, and everything was sent a second time in full.
	Again bool
	// Warnings holds what did not stop the report: the state could not be read or kept, or another machine seems to
	// report under the same id.
	Warnings []string
}

// splitBytes is the size of a report from which AWS:File goes in a call of its own, before the rest.
const splitBytes = 1 << 20

// Send reports the items of the node. Items unchanged since the last success go as their hash. When the service answers
// that it cannot take one (ItemContentMismatchException, InvalidItemContentException), everything goes again at once in
// full. Any other error is final: nothing is remembered of the attempt, and the next run sends the same.
func (s *Sender) Send(ctx context.Context, node inventory.NodeID, items []inventory.Item) (Sent, error) {
	var sent Sent
	if !node.Valid() {
		return sent, fmt.Errorf("%q is no node id: it is i- and 8 or 17 characters, or mi- and 17", node)
	}
	if err := checkSizes(items); err != nil {
		return sent, err
	}
	last, err := loadState(s.StateDir, node, s.Endpoint)
	if err != nil {
		sent.warn(err.Error())
	}
	ours := fingerprintOf(items)
	if warning := s.another(ctx, node, ours, last.Fingerprint); warning != "" {
		sent.warn(fmt.Sprintf("another machine seems to report as %s: %s; give each machine an id of its own with --instance-id", node, warning))
	}
	attempt := slim(items, last.Hashes)
	err = s.put(ctx, node, attempt)
	if wantsContent(err) && slices.ContainsFunc(attempt, func(i inventory.Item) bool { return !i.HasContent }) {
		sent.Again = true
		attempt = items
		err = s.put(ctx, node, attempt)
	}
	sent.count(attempt)
	if err != nil {
		return sent, fmt.Errorf("report %s: %w", node, err)
	}
	if err := last.after(items, ours).save(s.StateDir); err != nil {
		sent.warn(fmt.Sprintf("the report was taken, but the next one goes in full again: %v", err))
	}
	return sent, nil
}

func (s *Sent) warn(text string) { s.Warnings = append(s.Warnings, text) }

func (s *Sent) count(items []inventory.Item) {
	for _, item := range items {
		if item.HasContent {
			s.Full++
		} else {
			s.HashOnly++
		}
	}
}

// after is the state once the items were taken. Types that were not part of the report stay as remembered.
func (s state) after(items []inventory.Item, f fingerprint) state {
	hashes := make(map[inventory.TypeName]string, len(items))
	for t, hash := range s.Hashes {
		hashes[t] = hash
	}
	for _, item := range items {
		hashes[item.Type] = item.ContentHash
	}
	s.Hashes, s.Fingerprint = hashes, f
	return s
}

// slim gives the items with the content left out of those the service has.
func slim(items []inventory.Item, known map[inventory.TypeName]string) []inventory.Item {
	out := slices.Clone(items)
	for i := range out {
		if out[i].ContentHash != "" && known[out[i].Type] == out[i].ContentHash {
			out[i].Content, out[i].HasContent = nil, false
		}
	}
	return out
}

// put makes one call, or two where AWS:File would make a large one.
func (s *Sender) put(ctx context.Context, node inventory.NodeID, items []inventory.Item) error {
	split, err := calls(items)
	if err != nil {
		return err
	}
	for _, call := range split {
		if err := s.Service.PutInventory(ctx, node, call); err != nil {
			return err
		}
	}
	return nil
}

func calls(items []inventory.Item) ([][]inventory.Item, error) {
	if len(items) == 0 {
		return nil, nil
	}
	file := slices.IndexFunc(items, func(i inventory.Item) bool { return i.Type == typeFile })
	if file < 0 || len(items) == 1 {
		return [][]inventory.Item{items}, nil
	}
	text, err := Marshal(items)
	if err != nil {
		return nil, err
	}
	if len(text) <= splitBytes {
		return [][]inventory.Item{items}, nil
	}
	rest := slices.Delete(slices.Clone(items), file, file+1)
	return [][]inventory.Item{items[file : file+1], rest}, nil
}

// wantsContent reports whether the answer asks for the report in full.
func wantsContent(err error) bool {
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) {
		return false
	}
	switch coded.ErrorCode() {
	case "ItemContentMismatchException", "InvalidItemContentException":
		return true
	}
	return false
}
