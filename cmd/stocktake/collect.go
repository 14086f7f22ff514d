package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"time"

	"stocktake/internal/collect"
	"stocktake/internal/inventory"
)

type collectCommand struct {
	connection
	InstanceID string        `name:"instance-id" placeholder:"ID" help:"The node id to report as. Else that of the registration, of the instance metadata, or one made of a keyed hash of the machine id."`
	Files      string        `placeholder:"JSON" help:"Gather AWS:File too, by the stock agent's filter: [{\"Path\":\"/etc\",\"Pattern\":[\"*.conf\"],\"Recursive\":true}]."`
	CustomDir  string        `placeholder:"DIR" help:"Read custom inventory files (*.json) from this folder. Else from the stock agent's, where it is."`
	StateDir   string        `placeholder:"DIR" help:"Keep here what was sent, so that what is unchanged goes as a hash, and the key pair of a registered node."`
	Print      bool          `help:"Print, and send nothing, though an endpoint is known."`
	Every      time.Duration `placeholder:"TIME" help:"Keep running: a heartbeat every five minutes, a report this often (30m)."`

	Register           bool   `help:"Make this machine a managed node by an activation. Later runs report as that node and need no AWS keys."`
	ActivationID       string `name:"activation-id" placeholder:"ID" help:"The activation to register with."`
	ActivationCode     string `placeholder:"CODE" help:"Its code. Who lists processes can read it here: prefer STOCKTAKE_ACTIVATION_CODE or the next flag."`
	ActivationCodeFile string `placeholder:"FILE" help:"Read the activation's code from this file."`
	Force              bool   `help:"Register though this machine is registered already: it becomes another node."`
}

// Help is shown below the usage.
func (collectCommand) Help() string {
	return `Reads the inventory of this machine in the types of the stock agent. With an endpoint it is sent; without one it is
printed, in the form that the aws CLI takes:

    stocktake collect > report.json
    aws ssm put-inventory --cli-input-json file://report.json

    stocktake collect --endpoint-url http://127.0.0.1:7540 --region us-east-1

A machine that an administrator made an activation for (aws ssm create-activation) becomes a managed node, with a key pair
of its own in the state folder in the place of AWS keys. The code is read from --activation-code-file or from the
environment, so that no list of processes shows it:

    export STOCKTAKE_ACTIVATION_CODE=...
    stocktake collect --register --activation-id ID --endpoint-url https://stocktake.example:7540 --region us-east-1
    stocktake collect --every 30m

From then on endpoint, region and certificates are those it registered with; --endpoint-url and --ca-bundle say otherwise,
AWS variables do not. --profile, or another --instance-id, reports with AWS keys as before.`
}

// leastEvery is the shortest time between two reports: gathering takes seconds of processor.
const leastEvery = time.Minute

func (c *collectCommand) check() error {
	switch {
	case c.Every != 0 && c.Every < leastEvery:
		return &usageError{fmt.Sprintf("--every %v: it is %v at the least", c.Every, leastEvery), ""}
	case c.Every != 0 && c.Print:
		return &usageError{"--every and --print do not go together", ""}
	case c.Register && (c.Every != 0 || c.Print || c.InstanceID != ""):
		return &usageError{"--register does nothing else: call stocktake collect again without it to report", ""}
	case c.Register && c.ActivationID == "":
		return &usageError{"--register needs --activation-id", "aws ssm create-activation --iam-role NAME makes an activation, and shows its code once"}
	case !c.Register && (c.ActivationID != "" || c.ActivationCode != "" || c.ActivationCodeFile != "" || c.Force):
		return &usageError{"an activation is of use with --register alone", ""}
	}
	return nil
}

// Run gathers, and prints or sends, once or again and again; or registers the machine. What could not be gathered is told
// and costs no more than its own type.
func (c *collectCommand) Run(p *process) error {
	err := c.check()
	if err == nil && c.StateDir == "" {
		c.StateDir, err = collect.StateDir(os.Getuid(), func(name string) string { return p.env[name] })
		if err != nil && c.Print {
			err = nil // a state that nothing is kept in
		}
	}
	if err != nil {
		return err
	}
	if c.Register {
		return c.register(p)
	}
	r, err := c.reporter(p)
	if err != nil {
		return err
	}
	defer r.close()
	if c.Every != 0 {
		return c.keepOn(p, r)
	}
	return withHint(c.once(p, r))
}

// once reports once.
func (c *collectCommand) once(p *process, r *reporter) error {
	report, err := r.machine.Gather(p.ctx, r.options)
	if err != nil {
		return err
	}
	for _, problem := range report.Problems {
		fmt.Fprintf(p.stderr, "stocktake: warning: %v\n", problem)
	}
	if r.client == nil {
		return printReport(p, r.options.Node, report.Items)
	}
	fmt.Fprintf(p.stdout, "node %s (from the %s)\n", r.options.Node, r.origin)
	if r.options.Managed {
		beat, err := r.machine.Heartbeat(r.options)
		if err == nil {
			err = r.remote().Heartbeat(p.ctx, beat)
		}
		if err != nil {
			return err
		}
	}
	return c.send(p, r, report.Items)
}

func (c *collectCommand) send(p *process, r *reporter, items []inventory.Item) error {
	sent, err := c.sender(r).Send(p.ctx, r.options.Node, items)
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
	fmt.Fprintf(p.stdout, "sent to %s: %d types in full, %d unchanged%s\n", r.endpoint, sent.Full, sent.HashOnly, again)
	return nil
}

// keepOn reports until the process is told to stop.
func (c *collectCommand) keepOn(p *process, r *reporter) error {
	if r.client == nil {
		return &usageError{"--every needs a service to report to", "give --endpoint-url, set AWS_ENDPOINT_URL, or register this machine with --register"}
	}
	daemon := collect.Daemon{
		Machine: r.machine, Options: r.options, Sender: c.sender(r), Beat: r.remote().Heartbeat, Every: c.Every,
		Hint: hintFor, Log: slog.New(slog.NewTextHandler(p.stderr, nil)),
	}
	daemon.Run(p.ctx)
	return nil
}

func (c *collectCommand) sender(r *reporter) *collect.Sender {
	return &collect.Sender{Service: r.remote(), Endpoint: r.service, StateDir: c.StateDir, Managed: r.options.Managed}
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

// numbers matches what git describe says after a tag, and before what it says of commits since.
var numbers = regexp.MustCompile(`^v?([0-9]{1,6}(?:\.[0-9]{1,6}){2,3})(?:[^0-9A-Za-z.]|$)`)

// agentVersion is a version of this program as AWS:InstanceInformation has it: three or four numbers with dots. Clients are
// told no other.
func agentVersion(version string) string {
	if found := numbers.FindStringSubmatch(version); found != nil {
		return found[1]
	}
	return "0.0.0"
}
