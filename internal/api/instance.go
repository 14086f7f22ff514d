package api

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// instanceActions are the API's questions about managed nodes.
type instanceActions struct{ service *ssm.Service }

func instanceRows(service *ssm.Service) []awsjson.Row {
	a := instanceActions{service}
	return []awsjson.Row{
		awsjson.NewRow("DescribeInstanceInformation", nil, a.information),
		awsjson.NewRow("DescribeInstanceProperties", nil, a.properties),
	}
}

func (a instanceActions) information(ctx context.Context, c awsjson.Caller, r *wire.DescribeInstanceInformationRequest) (*wire.DescribeInstanceInformationResponse, error) {
	if len(r.InstanceInformationFilterList) > 0 && len(r.Filters) > 0 {
		return nil, twoStyles("InstanceInformationFilterList", "Filters")
	}
	in := ssm.DescribeNodesInput{MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken}
	for _, f := range r.InstanceInformationFilterList {
		in.Filters = append(in.Filters, ssm.NodeFilter{Key: value(f.Key), Values: f.ValueSet})
	}
	for _, f := range r.Filters {
		in.Filters = append(in.Filters, ssm.NodeFilter{Key: value(f.Key), Values: f.Values})
	}
	nodes, next, err := a.service.DescribeNodes(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.DescribeInstanceInformationResponse{NextToken: next}
	for _, n := range nodes {
		answer.InstanceInformationList = append(answer.InstanceInformationList, instanceInformation(n))
	}
	return answer, nil
}

func (a instanceActions) properties(ctx context.Context, c awsjson.Caller, r *wire.DescribeInstancePropertiesRequest) (*wire.DescribeInstancePropertiesResponse, error) {
	if len(r.InstancePropertyFilterList) > 0 && len(r.FiltersWithOperator) > 0 {
		return nil, twoStyles("InstancePropertyFilterList", "FiltersWithOperator")
	}
	in := ssm.DescribeNodesInput{MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken}
	for _, f := range r.InstancePropertyFilterList {
		in.Filters = append(in.Filters, ssm.NodeFilter{Key: value(f.Key), Values: f.ValueSet})
	}
	for _, f := range r.FiltersWithOperator {
		in.Filters = append(in.Filters, ssm.NodeFilter{Key: value(f.Key), Operator: value(f.Operator), Values: f.Values})
	}
	nodes, next, err := a.service.DescribeNodeProperties(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.DescribeInstancePropertiesResponse{NextToken: next}
	for _, n := range nodes {
		answer.InstanceProperties = append(answer.InstanceProperties, instanceProperty(n))
	}
	return answer, nil
}

func twoStyles(one, other string) error {
	return inventory.Errorf(inventory.InvalidRequest, "%s and %s can't be used in one request.", one, other)
}

func instanceInformation(n ssm.NodeInformation) wire.InstanceInformation {
	said := agentsWord(n)
	out := wire.InstanceInformation{
		InstanceId: string(n.Node), PingStatus: n.Ping, LastPingDateTime: n.LastPing,
		AgentVersion: said.AgentVersion, IsLatestVersion: &n.Latest,
		PlatformType: said.PlatformType, PlatformName: said.PlatformName, PlatformVersion: said.PlatformVersion,
		ActivationId: n.Activation, IamRole: n.Role, RegistrationDate: n.Registered, ResourceType: said.ResourceType, Name: n.Name,
		IPAddress: said.IpAddress, ComputerName: said.ComputerName,
		SourceId: string(n.Node), SourceType: n.Source(),
	}
	if a := n.Associations; a != nil {
		out.AssociationStatus, out.AssociationOverview = a.Status, nodeOverview(a)
		out.LastAssociationExecutionDate, out.LastSuccessfulAssociationExecutionDate = a.Last, a.LastSuccess
	}
	return out
}

func nodeOverview(a *ssm.AssociationsOfNode) *wire.InstanceAssociationOverview {
	out := &wire.InstanceAssociationOverview{DetailedStatus: a.Detailed}
	for _, status := range slices.Sorted(maps.Keys(a.Counts)) {
		out.InstanceAssociationStatusAggregatedCount = append(out.InstanceAssociationStatusAggregatedCount, wire.Count{Name: status, N: int32(a.Counts[status])})
	}
	return out
}

func instanceProperty(n ssm.NodeInformation) wire.InstanceProperty {
	said := agentsWord(n)
	p := wire.InstanceProperty{
		Name: n.Name, InstanceId: string(n.Node), IPAddress: said.IpAddress, PingStatus: n.Ping, LastPingDateTime: n.LastPing,
		AgentVersion: said.AgentVersion, PlatformType: said.PlatformType, PlatformName: said.PlatformName,
		PlatformVersion: said.PlatformVersion, ActivationId: n.Activation, IamRole: n.Role, RegistrationDate: n.Registered,
		ResourceType: said.ResourceType, ComputerName: said.ComputerName, SourceId: string(n.Node), SourceType: n.Source(),
	}
	if n.Status == inventory.Stopped {
		p.InstanceState = "stopped" // as EC2 spells it
	}
	if a := n.Associations; a != nil {
		p.AssociationStatus, p.AssociationOverview = a.Status, nodeOverview(a)
		p.LastAssociationExecutionDate, p.LastSuccessfulAssociationExecutionDate = a.Last, a.LastSuccess
	}
	return p
}

var agentVersion = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6}){2,3}$`)

// agentsWord gives what is known of a node's agent and platform, as far as it has the form the model gives: anyone may
// have put anything, and clients refuse the whole answer for what they do not know.
func agentsWord(n ssm.NodeInformation) wire.ManagedInstanceInfo {
	get := func(name string, fits func(string) bool) string {
		if v, _ := n.Information.Get(name); fits(v) {
			return v
		}
		return ""
	}
	upTo := func(most int) func(string) bool {
		return func(v string) bool { return utf8.RuneCountInString(v) <= most }
	}
	oneOf := func(values ...string) func(string) bool {
		return func(v string) bool { return slices.Contains(values, v) }
	}
	return wire.ManagedInstanceInfo{
		AgentType: get("AgentType", upTo(255)), AgentVersion: get("AgentVersion", agentVersion.MatchString),
		ComputerName: get("ComputerName", upTo(255)), InstanceStatus: string(n.Status), IpAddress: get("IpAddress", upTo(46)),
		ManagedStatus: "Managed", PlatformType: get("PlatformType", oneOf("Windows", "Linux", "MacOS")),
		PlatformName: get("PlatformName", upTo(120)), PlatformVersion: get("PlatformVersion", upTo(120)),
		ResourceType: get("ResourceType", oneOf("ManagedInstance", "EC2Instance")),
	}
}
