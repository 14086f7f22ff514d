package collect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

// known gives the fingerprint of what the service holds of the node. It is no part of the report: keys that may put and
// not list, and services that do not know the node yet, leave it out.
func (s *Sender) known(ctx context.Context, node inventory.NodeID) (fingerprint, bool) {
	var f fingerprint
	for _, t := range []inventory.TypeName{inventory.TypeInstanceInformation, typeNetwork} {
		entries, err := s.Service.Entries(ctx, node, t)
		if err != nil {
			return fingerprint{}, false
		}
		for _, entry := range entries {
			f.add(t, entry)
		}
	}
	return f, f.Name != "" || len(f.MACs) > 0
}

// another tells, by the reason, that the service holds another machine under this one's id.
func (s *Sender) another(ctx context.Context, node inventory.NodeID, ours, last fingerprint) string {
	if s.Managed {
		return ""
	}
	theirs, ok := s.known(ctx, node)
	if !ok {
		return ""
	}
	return conflict(ours, theirs, last)
}

// conflict tells whether what the service holds of a node (theirs) was put by another machine than this one (ours),
// which last put what it remembers (last, empty when it never did). It gives the reason, or nothing.
//
// A shared hardware address makes it this machine, renamed or not. Without one:
//   - the service holds what we put last: our interfaces changed, unless the name changed with them, as in a clone that
//     was copied with its state;
//   - the service holds something else than we put last: somebody else put it;
//   - we never put anything: the service has an earlier life of this machine, unless the name differs too.
func conflict(ours, theirs, last fingerprint) string {
	if len(ours.MACs) == 0 || len(theirs.MACs) == 0 || slices.ContainsFunc(ours.MACs, func(mac string) bool { return slices.Contains(theirs.MACs, mac) }) {
		return ""
	}
	renamed := ours.Name != "" && theirs.Name != "" && !strings.EqualFold(ours.Name, theirs.Name)
	remembered := len(last.MACs) > 0
	overwritten := remembered && !slices.Equal(slices.Sorted(slices.Values(theirs.MACs)), slices.Sorted(slices.Values(last.MACs)))
	if !renamed && !overwritten {
		return ""
	}
	return fmt.Sprintf("the service holds the computer name %q and no hardware address of this one, %q", theirs.Name, ours.Name)
}
