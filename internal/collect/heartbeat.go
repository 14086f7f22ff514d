package collect

import (
	"context"
	"encoding/json"
	"fmt"

	"stocktake/internal/inventory"
)

// Heartbeat is the sign of life of a node, with what the service makes AWS:InstanceInformation of.
type Heartbeat struct {
	AgentName       string
	AgentStatus     string
	AgentVersion    string
	ComputerName    string
	IPAddress       string
	InstanceId      inventory.NodeID //nolint:revive,staticcheck // the member's name on the wire
	PlatformName    string
	PlatformType    string
	PlatformVersion string
}

// Heartbeat reads the machine for its sign of life.
func (m *Machine) Heartbeat(o Options) (Heartbeat, error) {
	all, err := m.interfaces()
	if err != nil {
		return Heartbeat{}, err
	}
	p, err := m.platform(o, all)
	if err != nil {
		return Heartbeat{}, err
	}
	return Heartbeat{
		AgentName: p.AgentType, AgentStatus: "Active", AgentVersion: p.AgentVersion, ComputerName: p.ComputerName, IPAddress: p.IpAddress,
		InstanceId: o.Node, PlatformName: p.PlatformName, PlatformType: p.PlatformType, PlatformVersion: p.PlatformVersion,
	}, nil
}

// Heartbeat makes one call of UpdateInstanceInformation.
func (r Remote) Heartbeat(ctx context.Context, h Heartbeat) error {
	body, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode the heartbeat: %w", err)
	}
	_, err = r.Caller.Do(ctx, "UpdateInstanceInformation", body)
	return err
}
