package agent

import (
	"context"
	"encoding/json"
	"time"
)

// fallBack asks in the way of older agents, which the stock agent does when the newer call failed. An association made for
// this one node runs by it.
func (a *Agent) fallBack(ctx context.Context) error {
	const action = "ListAssociations"
	type filter struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	a.fallbacks.Add(1)
	text, err := a.do(ctx, a.asRole(ssm, action, struct {
		AssociationFilterList []filter
		MaxResults            int
	}{[]filter{{"InstanceId", a.disk.Node}}, 1}))
	if err != nil {
		return err
	}
	var page struct{ Associations []json.RawMessage }
	if err := read(action, text, &page); err != nil {
		return err
	}
	for _, one := range page.Associations {
		var s association
		if err := read(action, one, &s, "Name"); err != nil {
			return err
		}
		if s.InstanceId != a.disk.Node {
			continue
		}
		described, err := a.describe(ctx, s.Name)
		if err != nil {
			return err
		}
		if described != nil {
			a.due = append(a.due, task{association: *described, at: time.Now(), legacy: true})
		}
	}
	return nil
}

// describe gives what the service knows of the node's association with a document. It gives nil where that has run.
func (a *Agent) describe(ctx context.Context, name string) (*association, error) {
	const action = "DescribeAssociation"
	text, err := a.do(ctx, a.asRole(ssm, action, struct{ InstanceId, Name string }{a.disk.Node, name})) //nolint:revive,staticcheck // names on the wire
	if err != nil {
		return nil, err
	}
	var answer struct {
		AssociationDescription struct {
			association
			Status *struct{ Name string }
		}
	}
	if err := read(action, text, &answer, "AssociationDescription"); err != nil {
		return nil, err
	}
	d := answer.AssociationDescription
	if d.Status != nil && d.Status.Name != "Associated" && d.Status.Name != "Pending" {
		return nil, nil
	}
	return &d.association, nil
}

// tellLegacy reports the state of a run in the way of older agents.
func (a *Agent) tellLegacy(ctx context.Context, s *association, status, _, summary string) error {
	const action = "UpdateAssociationStatus"
	type associationStatus struct {
		Date                          float64
		Name, Message, AdditionalInfo string
	}
	if status == "InProgress" {
		status = "Pending"
	}
	text, err := a.do(ctx, a.asRole(ssm, action, struct {
		InstanceId, Name  string //nolint:revive,staticcheck // names on the wire
		AssociationStatus associationStatus
	}{a.disk.Node, s.Name, associationStatus{seconds(time.Now()), status, summary, "{}"}}))
	if err != nil {
		return err
	}
	return read(action, text, nil)
}
