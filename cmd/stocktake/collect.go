package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"stocktake/internal/client"
	"stocktake/internal/collect"
	"stocktake/internal/inventory"
)

type collectCommand struct {
	connection
	InstanceID string `name:"instance-id" placeholder:"ID" help:"The node id to report as. Else that of the instance metadata, else one made of a keyed hash of the machine id."`
	Files      string `placeholder:"JSON" help:"Gather AWS:File too, by the stock agent's filter: [{\"Path\":\"/etc\",\"Pattern\":[\"*.conf\"],\"Recursive\":true}]."`
	CustomDir  string `placeholder:"DIR" help:"Read custom inventory files (*.json) from this folder. Else from the stock agent's, where it is."`
	StateDir   string `placeholder:"DIR" help:"Remember here what was sent, so that what is unchanged goes as a hash."`
	Print      bool   `help:"Print, and send nothing, though an endpoint is known."`
}

// Help is shown below the usage.
func (collectCommand) Help() string {
	return `Reads the inventory of this machine in the types of the stock agent. With an endpoint it is sent; without one it is
printed, in the form that the aws CLI takes:

    stocktake collect > report.json
    aws ssm put-inventory --cli-input-json file://report.json

    stocktake collect --endpoint-url http://127.0.0.1:7540 --region us-east-1`
}

// Run gathers, and prints or sends. What could not be gathered is told and costs no more than its own type.
func (c *collectCommand) Run(p *process) error {
	machine := collect.Local()
	node, origin, err := machine.Identify(p.ctx, c.InstanceID)
	if err != nil {
		return err
	}
	report, err := machine.Gather(p.ctx, collect.Options{
		Node: node, AgentVersion: agentVersion(), Files: c.Files, CustomDir: c.CustomDir,
	})
	if err != nil {
		return err
	}
	for _, problem := range report.Problems {
		fmt.Fprintf(p.stderr, "stocktake: warning: %v\n", problem)
	}
	config, err := c.config(p.ctx)
	if err != nil && !c.Print {
		return err
	}
	if c.Print || config.Endpoint == "" {
		return printReport(p, node, report.Items)
	}
	fmt.Fprintf(p.stdout, "node %s (from the %s)\n", node, origin)
	return c.send(p, config, node, report.Items)
}

func (c *collectCommand) send(p *process, config client.Config, node inventory.NodeID, items []inventory.Item) error {
	connected, err := client.New(config)
	if err != nil {
		return err
	}
	defer connected.Close()
	state := c.StateDir
	if state == "" {
		if state, err = collect.StateDir(os.Getuid(), func(name string) string { return p.env[name] }); err != nil {
			return err
		}
	}
	sender := collect.Sender{Service: collect.Remote{Caller: connected}, Endpoint: config.Endpoint, StateDir: state}
	sent, err := sender.Send(p.ctx, node, items)
	for _, warning := range sent.Warnings {
		fmt.Fprintf(p.stderr, "stocktake: warning: %s\n", warning)
	}
	if err != nil {
		return err
	}
	again := ""
	if sent.Again {
		again = ", the second time, as the service asked for all of it"
	}
	fmt.Fprintf(p.stdout, "sent to %s: %d types in full, %d unchanged%s\n", config.Endpoint, sent.Full, sent.HashOnly, again)
	return nil
}

// printReport prints the body of the PutInventory that would be sent.
func printReport(p *process, node inventory.NodeID, items []inventory.Item) error {
	text, err := collect.Marshal(items)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(p.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(struct {
		InstanceID inventory.NodeID `json:"InstanceId"`
		Items      json.RawMessage
	}{node, text})
}

// agentVersion is the version as AWS:InstanceInformation has it: numbers with dots.
func agentVersion() string {
	number, _, _ := strings.Cut(strings.TrimPrefix(version(), "v"), " ")
	if number == "" || number[0] < '0' || number[0] > '9' {
		return "0.0.0"
	}
	return number
}
