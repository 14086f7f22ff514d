package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"stocktake/internal/client"
	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

type nodeCommand struct {
	Register  nodeRegisterCommand  `cmd:"" help:"Make nodes known, or known again after they were terminated."`
	List      nodeListCommand      `cmd:"" help:"List the nodes."`
	Explain   nodeExplainCommand   `cmd:"" help:"Tell why a node is stale, or that it is not."`
	Stop      nodeStopCommand      `cmd:"" help:"Mark nodes as stopped until they are heard of again."`
	Terminate nodeTerminateCommand `cmd:"" help:"Mark nodes as gone for good: they stay in answers, and their reports are refused."`
	Remove    nodeRemoveCommand    `cmd:"" help:"Forget nodes and all they reported."`
}

// Help is shown below the usage.
func (nodeCommand) Help() string {
	return `For nodes without an agent that registers them. A node whose id begins with i- becomes known by its first report,
unless enrollment is strict; one whose id begins with mi- has to be registered.

    stocktake node register mi-0123456789abcdef0 --endpoint-url http://127.0.0.1:7540 --region us-east-1`
}

// nodes is the part of the commands that name nodes.
type nodes struct {
	connection
	IDs []string `arg:"" name:"id" help:"Node ids: i- and 8 or 17 characters, or mi- and 17."`
}

type (
	nodeRegisterCommand  struct{ nodes }
	nodeStopCommand      struct{ nodes }
	nodeTerminateCommand struct{ nodes }
	nodeRemoveCommand    struct{ nodes }
)

// Run registers the nodes.
func (c *nodeRegisterCommand) Run(p *process) error { return c.each(p, "RegisterNode", "registered") }

// Run stops the nodes.
func (c *nodeStopCommand) Run(p *process) error { return c.each(p, "StopNode", "stopped") }

// Run terminates the nodes.
func (c *nodeTerminateCommand) Run(p *process) error {
	return c.each(p, "TerminateNode", "terminated")
}

// Run removes the nodes.
func (c *nodeRemoveCommand) Run(p *process) error { return c.each(p, "RemoveNode", "removed") }

// each does an action to every node named, and goes on after one that failed.
func (c *nodes) each(p *process, action, done string) error {
	for _, id := range c.IDs {
		if !inventory.NodeID(id).Valid() {
			return &usageError{fmt.Sprintf("%q is no node id", id), "i- and 8 or 17 letters, digits and underscores, or mi- and 17"}
		}
	}
	connected, err := c.open(p.ctx)
	if err != nil {
		return err
	}
	defer connected.Close()
	var failed []error
	for _, id := range c.IDs {
		body := (&wire.NodeRequest{NodeId: id}).AppendJSON(nil)
		if _, err := connected.Do(p.ctx, ownTarget+action, body); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", id, err))
			continue
		}
		fmt.Fprintf(p.stdout, "%s %s\n", id, done)
	}
	return errors.Join(failed...)
}

// ownTarget begins the targets of the service's own actions.
const ownTarget = "Stocktake."

type nodeListCommand struct {
	connection
	Output string `default:"table" enum:"table,json" help:"table, or json: one object a line (${default})."`
}

// Run lists the nodes, page by page.
func (c *nodeListCommand) Run(p *process) error {
	connected, err := c.open(p.ctx)
	if err != nil {
		return err
	}
	defer connected.Close()
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	if c.Output == "table" {
		fmt.Fprintln(table, "NODE\tSTATUS\tTYPES\tENROLLED\tLAST REPORT")
	}
	ask := &wire.ListNodesRequest{}
	for {
		page, err := listNodes(p.ctx, connected, ask)
		if err != nil {
			return errors.Join(err, table.Flush())
		}
		for _, n := range page.Nodes {
			if c.Output == "json" {
				if err := printNode(p, n); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", n.NodeId, n.Status, n.TypeCount, shown(n.EnrolledTime), shown(n.LastReportTime))
		}
		if page.NextToken == "" {
			return table.Flush()
		}
		ask.NextToken = page.NextToken
	}
}

// printNode prints a node as one line of JSON. Times that are not known are absent.
func printNode(p *process, n wire.NodeSummary) error {
	return json.NewEncoder(p.stdout).Encode(struct {
		NodeID         string `json:"NodeId"`
		Status         string
		TypeCount      int32
		EnrolledTime   time.Time `json:",omitzero"`
		LastReportTime time.Time `json:",omitzero"`
	}{n.NodeId, n.Status, n.TypeCount, n.EnrolledTime.UTC(), n.LastReportTime.UTC()})
}

func listNodes(ctx context.Context, c *client.Client, ask *wire.ListNodesRequest) (*wire.ListNodesResponse, error) {
	answer, err := c.Do(ctx, ownTarget+"ListNodes", ask.AppendJSON(nil))
	if err != nil {
		return nil, err
	}
	var page wire.ListNodesResponse
	return &page, page.Decode(answer)
}

func shown(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateTime)
}
