package agent

import (
	"context"
	"strings"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// messageRows gives the actions of the service that delivers messages. There are none to deliver; an agent that was told
// anything else than that would ask again every other second.
func messageRows(service *ssm.Service) []awsjson.Row {
	get := awsjson.NewMessageRow("GetMessages",
		func(r *wire.GetMessagesRequest) inventory.NodeID { return inventory.NodeID(text(r.Destination)) },
		func(ctx context.Context, c awsjson.Caller, r *wire.GetMessagesRequest) (*wire.GetMessagesResponse, error) {
			service.AwaitMessages(ctx, inventory.NodeKey{Partition: c.Partition, Node: inventory.NodeID(text(r.Destination))})
			return &wire.GetMessagesResponse{Destination: text(r.Destination), MessagesRequestId: text(r.MessagesRequestId)}, nil
		})
	get.Waits = true
	rows := []awsjson.Row{get}
	for _, action := range []string{"AcknowledgeMessage", "SendReply", "FailMessage", "DeleteMessage"} {
		rows = append(rows, awsjson.NewMessageRow(action, recipient, noted))
	}
	return rows
}

// recipient is the node a message is to: its id is the last part of the message's.
func recipient(r *wire.MessageRequest) inventory.NodeID {
	id := text(r.MessageId)
	node := inventory.NodeID(id[strings.LastIndexByte(id, '.')+1:])
	if !node.Valid() {
		return "" // which only administrators may reach
	}
	return node
}

func noted(context.Context, awsjson.Caller, *wire.MessageRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, nil
}
