package ssm

import (
	"slices"
	"strings"
	"unicode/utf8"

	"stocktake/internal/inventory"
)

// checkContext judges an item's context and gives the sub-type it names.
func (r *report) checkContext(it *inventory.Item) (string, error) {
	if it.Type != inventory.TypeComplianceItem {
		if len(it.Context) > 0 {
			return "", inventory.ItemErrorf(inventory.UnsupportedInventoryItemContext, it.Type, "The inventory type %s doesn't take a Context.", it.Type)
		}
		return "", nil
	}
	schema, _ := inventory.BuiltIn(it.Type)
	for _, a := range it.Context {
		if known, ok := schema.Attribute(a.Name); !ok || known.Name != a.Name || !known.Context {
			return "", inventory.Errorf(inventory.InvalidInventoryItemContext, "The Context of %s takes ComplianceType, ExecutionId, ExecutionType and ExecutionTime; %q isn't among them.", it.Type, clip(a.Name))
		}
		if most := contextMost(a.Name); utf8.RuneCountInString(a.Value) > most {
			return "", inventory.Errorf(inventory.InvalidInventoryItemContext, "The %s of the Context of %s has more than %d characters.", a.Name, it.Type, most)
		}
	}
	sub, _ := it.Context.Get("ComplianceType")
	if sub == "" {
		return "", inventory.Errorf(inventory.InvalidInventoryItemContext, "The Context of %s needs a ComplianceType of 1 to 100 characters.", it.Type)
	}
	if err := r.checkSubType(sub); err != nil {
		return "", err
	}
	r.subTypes = append(r.subTypes, sub)
	return sub, nil
}

// contextMost is how many characters a value of the context of compliance may have, as PutComplianceItems has it. A time is
// shorter in any form.
func contextMost(name string) int {
	if name == "ExecutionType" || name == "ExecutionTime" {
		return 50
	}
	return 100
}

// checkSubType judges whether the node, and its account in this region, have room for a compliance type.
func (r *report) checkSubType(sub string) error {
	kind := complianceKind(sub)
	if kind == knownCompliance {
		return nil
	}
	if r.node.Item(inventory.ItemKey{Type: inventory.TypeComplianceItem, SubType: sub}) == nil {
		own := 0
		for _, state := range r.node.ItemsOf(inventory.TypeComplianceItem) {
			if complianceKind(state.SubType) == kind {
				own++
			}
		}
		if own >= r.s.cfg.Limits.ComplianceTypes {
			return inventory.Errorf(inventory.SubTypeCountLimitExceeded, "The node %s has %d custom compliance types already, the most a node can have.", r.key.Node, own)
		}
	}
	if _, known := slices.BinarySearch(r.types.subTypes, sub); known || slices.Contains(r.subTypes, sub) {
		return nil
	}
	have := 0
	for _, other := range slices.Concat(r.types.subTypes, r.newSubTypes()) {
		if complianceKind(other) != knownCompliance {
			have++
		}
	}
	if have >= r.s.cfg.Limits.SubTypes {
		return inventory.Errorf(inventory.SubTypeCountLimitExceeded,
			"The account has %d compliance types in this region already, the most it can have. Use one of those, which GetInventorySchema lists, or raise limit_sub_types.", have)
	}
	return nil
}

// The kinds of compliance types. The limit of a node holds for the custom ones, and for those nobody knows by themselves: a
// node could have any number of them otherwise.
const (
	knownCompliance = iota // AWS writes it
	customCompliance
	otherCompliance
)

func complianceKind(sub string) int {
	switch {
	case sub == "Association" || sub == "Patch":
		return knownCompliance
	case strings.HasPrefix(sub, "Custom:"):
		return customCompliance
	}
	return otherCompliance
}
