package main

import (
	"testing"

	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

// TestWhoMayTellOfNodes goes over refusals that say something of the node they are about, and those that do not.
func TestWhoMayTellOfNodes(t *testing.T) {
	const id = "mi-0123456789abcdef0"
	home := inventory.Partition{Account: "111122223333", Region: "eu-west-1"}
	node := iam.NewNode(inventory.NodeKey{Partition: home, Node: id}, "role", "ASIAIOSFODNN7EXAMPLE")
	for name, c := range map[string]struct {
		of   awsjson.Observation
		want bool
	}{
		"answered":                      {awsjson.Observation{Principal: node, Node: id, Partition: home}, false},
		"the server's fault":            {awsjson.Observation{Principal: node, Node: id, Partition: home, Code: wire.InternalServerError}, false},
		"of no node":                    {awsjson.Observation{Principal: node, Partition: home, Code: "ValidationException"}, false},
		"of nobody":                     {awsjson.Observation{Node: id, Code: "InvalidSignatureException"}, false},
		"what the node sent":            {awsjson.Observation{Principal: node, Node: id, Partition: home, Code: "ValidationException"}, true},
		"what a user sent for it":       {awsjson.Observation{Principal: &iam.Principal{}, Node: id, Partition: home, Code: "ItemContentMismatchException"}, true},
		"the node may not":              {awsjson.Observation{Principal: node, Node: id, Partition: home, Code: wire.AccessDeniedException}, true},
		"another node may not":          {awsjson.Observation{Principal: node, Node: "mi-0123456789abcdef1", Partition: home, Code: wire.AccessDeniedException}, false},
		"a user may not speak for it":   {awsjson.Observation{Principal: &iam.Principal{}, Node: id, Partition: home, Code: wire.AccessDeniedException}, false},
		"nobody known may speak for it": {awsjson.Observation{Node: id, Partition: home, Code: wire.AccessDeniedException}, false},
	} {
		if got := tellsOfNode(c.of); got != c.want {
			t.Errorf("%s: it tells of the node: %v", name, got)
		}
	}
}
