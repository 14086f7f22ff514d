package agent

import (
	"context"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

func heartbeatRows(service *ssm.Service) []awsjson.Row {
	return []awsjson.Row{
		awsjson.NewRow("UpdateInstanceInformation",
			func(r *wire.UpdateInstanceInformationRequest) inventory.NodeID { return inventory.NodeID(r.InstanceId) },
			func(ctx context.Context, c awsjson.Caller, r *wire.UpdateInstanceInformationRequest) (*wire.EmptyMessage, error) {
				return &wire.EmptyMessage{}, service.Heartbeat(ctx, c.Partition, ssm.HeartbeatInput{
					Node: inventory.NodeID(r.InstanceId), AgentStatus: r.AgentStatus,
					AgentName: r.AgentName, AgentVersion: r.AgentVersion, ComputerName: r.ComputerName, IPAddress: r.IPAddress,
					PlatformType: r.PlatformType, PlatformName: r.PlatformName, PlatformVersion: r.PlatformVersion,
				})
			}),
	}
}
