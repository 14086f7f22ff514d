// Package api holds the rows of the public actions: for each, how its shapes on the wire map to the nouns of inventory,
// and which method of ssm answers it.
//
// Rows gives them all, for awsjson to serve. It keeps no state and no rule of its own: what a request means is decided
// in ssm and inventory, what it may look like in wire.
package api

import (
	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// Rows gives the rows of every public action over a service.
func Rows(service *ssm.Service) []awsjson.Row {
	a, n, t := inventoryActions{service}, nodeActions{service}, tagActions{service}
	rows := []awsjson.Row{
		awsjson.NewRow("PutInventory", func(r *wire.PutInventoryRequest) inventory.NodeID { return inventory.NodeID(r.InstanceId) }, a.putInventory),
		awsjson.NewRow("ListInventoryEntries", func(r *wire.ListInventoryEntriesRequest) inventory.NodeID { return inventory.NodeID(r.InstanceId) }, a.listInventoryEntries),
		awsjson.NewRow("GetInventory", nil, a.getInventory),
		awsjson.NewRow("GetInventorySchema", nil, a.getInventorySchema),
		awsjson.NewRow("DeleteInventory", nil, a.deleteInventory),
		awsjson.NewRow("DescribeInventoryDeletions", nil, a.describeInventoryDeletions),
		awsjson.Naming(awsjson.NewRow("AddTagsToResource", func(r *wire.AddTagsToResourceRequest) inventory.NodeID { return taggedNode(&r.Resource) }, t.add), addedTags),
		awsjson.Naming(awsjson.NewRow("RemoveTagsFromResource", func(r *wire.RemoveTagsFromResourceRequest) inventory.NodeID { return taggedNode(&r.Resource) }, t.remove), removedTags),
		awsjson.Naming(awsjson.NewRow("ListTagsForResource", func(r *wire.ListTagsForResourceRequest) inventory.NodeID { return taggedNode(&r.Resource) }, t.list), listedTags),

		awsjson.NewOwnRow("RegisterNode", nodeOf, n.registerNode),
		awsjson.NewOwnRow("StopNode", nodeOf, n.stopNode),
		awsjson.NewOwnRow("TerminateNode", nodeOf, n.terminateNode),
		awsjson.NewOwnRow("RemoveNode", nodeOf, n.removeNode),
		awsjson.NewOwnRow("ExplainNode", nodeOf, n.explain),
		awsjson.NewOwnRow("ListNodes", nil, n.listNodes),
		awsjson.NewOwnRow("RunRetention", nil, n.runRetention),
	}
	rows = append(rows, activationRows(service)...)
	rows = append(rows, associationRows(service)...)
	rows = append(rows, documentRows(service)...)
	rows = append(rows, instanceRows(service)...)
	rows = append(rows, fleetRows(service)...)
	rows = append(rows, complianceRows(service)...)
	nodes, entries := service.PageBounds()
	for i := range rows {
		switch rows[i].Action {
		case "PutInventory", "PutComplianceItems", "UpdateAssociationStatus":
			rows[i].Kind = awsjson.Report
		case "GetInventory":
			rows[i].MostResults = int32(nodes)
		case "ListInventoryEntries":
			rows[i].MostResults = int32(entries)
		}
	}
	return rows
}

func nodeOf(r *wire.NodeRequest) inventory.NodeID { return inventory.NodeID(r.NodeId) }
