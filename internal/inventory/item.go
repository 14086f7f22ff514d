package inventory

import (
	"slices"
	"strings"
)

// TypeName names an inventory type, `AWS:...` or `Custom:...` (the prefix is case-sensitive).
type TypeName string

// The types that have rules of their own.
const (
	TypeInstanceInformation TypeName = "AWS:InstanceInformation"
	TypeComplianceItem      TypeName = "AWS:ComplianceItem"
	TypePatchSummary        TypeName = "AWS:PatchSummary"
	TypeTag                 TypeName = "AWS:Tag"
)

// Custom reports whether the type is one the account made up.
func (t TypeName) Custom() bool { return strings.HasPrefix(string(t), "Custom:") }

// Attribute is one name and value of an entry. Values are always strings; the empty string is a value.
//
// It has no name of its own for the compiler, so that what the wire decodes is content without being copied.
type Attribute = struct{ Name, Value string }

// Entry is one row of a type's content (one package, one network interface), sorted by attribute name, bytewise, each
// name once. Attributes a node did not send are absent.
type Entry []Attribute

// Get gives the value of the attribute with exactly this name.
func (e Entry) Get(name string) (string, bool) {
	i, ok := slices.BinarySearchFunc(e, name, func(a Attribute, n string) int { return strings.Compare(a.Name, n) })
	if !ok {
		return "", false
	}
	return e[i].Value, true
}

// Merge gives the union of two entries; where both name an attribute the value of over wins. The result is a new entry
// unless one of the two is empty.
func (e Entry) Merge(over Entry) Entry {
	if len(over) == 0 {
		return e
	}
	if len(e) == 0 {
		return over
	}
	out := make(Entry, 0, len(e)+len(over))
	i, j := 0, 0
	for i < len(e) && j < len(over) {
		switch c := strings.Compare(e[i].Name, over[j].Name); {
		case c < 0:
			out = append(out, e[i])
			i++
		case c > 0:
			out = append(out, over[j])
			j++
		default:
			out = append(out, over[j])
			i++
			j++
		}
	}
	out = append(out, e[i:]...)
	return append(out, over[j:]...)
}

// Item is one type's part of a report, as a node sent it and after the wire's constraints held.
type Item struct {
	Type          TypeName
	SchemaVersion string
	// CaptureTime is when the node gathered it, in the wire's form (seconds, UTC, literal Z). It is the node's clock:
	// kept and given back, never used to order anything.
	CaptureTime string
	// ContentHash is the reporter's own digest: an opaque string, compared for equality with the one stored. Clients
	// differ in what they hash, so it is never recomputed here.
	ContentHash string
	// HasContent tells a report of no entries (true, Content empty: the node now has none) from a report of nothing but
	// a hash (false: what is stored still holds).
	HasContent bool
	Content    []Entry
	Context    Entry
	// Bytes is the size of the item as received, for the size limits.
	Bytes int
}
