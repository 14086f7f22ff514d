package inventory

import "strings"

// NodeID names a node: `i-` with 8 or 17 word characters, or `mi-` with 17 (the InstanceId pattern of the API model).
// It is a machine that reports, whatever AWS calls it elsewhere (instance, managed instance, target).
type NodeID string

// Valid reports whether the id has the form the API model gives, the whole string matched. Upper case and underscores
// pass, as they do there.
func (id NodeID) Valid() bool {
	rest, ok := strings.CutPrefix(string(id), "i-")
	if ok {
		return (len(rest) == 8 || len(rest) == 17) && wordOnly(rest)
	}
	rest, ok = strings.CutPrefix(string(id), "mi-")
	return ok && len(rest) == 17 && wordOnly(rest)
}

// Activated reports whether the id is of the kind that exists only by activation or registration (`mi-`).
func (id NodeID) Activated() bool { return strings.HasPrefix(string(id), "mi-") }

func wordOnly(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}

// Partition is the wall between tenants: an account (12 digits, from the key that signed the request, never from the
// request) and a region (from the signature's scope). Nothing is ever read or counted across partitions.
type Partition struct {
	Account string
	Region  string
}

func (p Partition) String() string { return p.Account + "/" + p.Region }

// NodeKey names one node of one partition.
type NodeKey struct {
	Partition
	Node NodeID
}

// DocumentKey names one document: what one node last reported of one type. SubType is empty but for AWS:ComplianceItem,
// where it is the ComplianceType of the item's context.
type DocumentKey struct {
	NodeKey
	Type    TypeName
	SubType string
}

// ItemKey names a document within its node.
type ItemKey struct {
	Type    TypeName
	SubType string
}

// Status is a node's life as AWS:InstanceInformation shows it in InstanceStatus.
type Status string

// The values of InstanceStatus (User Guide, inventory metadata).
const (
	Active         Status = "Active"
	ConnectionLost Status = "ConnectionLost"
	Stopped        Status = "Stopped"
	Terminated     Status = "Terminated"
)
