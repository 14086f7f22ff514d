package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

type nodeExplainCommand struct {
	connection
	ID   string `arg:"" name:"id" help:"Node id: i- and 8 or 17 characters, or mi- and 17."`
	JSON bool   `help:"Print all that is known as JSON."`
}

// Run tells why a node is stale, or that it is not.
func (c *nodeExplainCommand) Run(p *process) error {
	if !inventory.NodeID(c.ID).Valid() {
		return &usageError{fmt.Sprintf("%q is no node id", c.ID), "i- and 8 or 17 letters, digits and underscores, or mi- and 17"}
	}
	connected, err := c.open(p.ctx)
	if err != nil {
		return err
	}
	defer connected.Close()
	body, err := connected.Do(p.ctx, ownTarget+"ExplainNode", (&wire.NodeRequest{NodeId: c.ID}).AppendJSON(nil))
	if err != nil {
		return err
	}
	var e wire.ExplainNodeResponse
	if err := e.Decode(body); err != nil {
		return err
	}
	if c.JSON {
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(v)
	}
	return explain(p.stdout, &e)
}

// explain prints an explanation for people: what it means first.
func explain(out io.Writer, e *wire.ExplainNodeResponse) error {
	fmt.Fprintf(out, "%s  %s\n\n%s\n", e.NodeId, status(e), e.Verdict)
	for _, step := range e.NextSteps {
		fmt.Fprintf(out, "  - %s\n", step)
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" && value != "-" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	line("last heartbeat", shown(e.LastHeartbeatTime))
	line("enrolled", shown(e.EnrolledTime))
	line("agent", words(e.Information, "AgentType", "AgentVersion"))
	line("platform", words(e.Information, "PlatformName", "PlatformVersion"))
	line("computer", words(e.Information, "ComputerName", "IpAddress"))
	if r := e.Registration; r != nil {
		line("registered", fmt.Sprintf("%s, activation %s, role %s", shown(r.RegistrationTime), r.ActivationId, r.IamRole))
		line("key pair since", shown(r.KeyTime))
	}
	if r := e.LastRefusal; r != nil {
		line("last refusal", strings.TrimSpace(fmt.Sprintf("%s %s: %s %s", shown(r.Time), r.Action, r.Code, r.Text)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return explainTables(out, e)
}

// explainTables prints what the node reported, and its associations.
func explainTables(out io.Writer, e *wire.ExplainNodeResponse) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(e.Types) > 0 {
		fmt.Fprintln(table, "\nTYPE\tLAST REPORT\tCAPTURED\tENTRIES\tHASH")
	}
	for _, t := range e.Types {
		hash := "no"
		if t.HasHash {
			hash = "yes"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", strings.TrimSpace(t.TypeName+" "+t.SubType), shown(t.ArrivalTime), t.CaptureTime, t.EntryCount, hash)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(e.Associations) > 0 {
		fmt.Fprintln(table, "\nASSOCIATION\tDOCUMENT\tSTATUS\tLAST RUN\tNEXT RUN\tSUMMARY")
	}
	for _, a := range e.Associations {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(a.AssociationName, a.AssociationId), a.DocumentName, a.DetailedStatus,
			shown(a.LastRunTime), shown(a.NextRunTime), strings.TrimSpace(a.Summary))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(e.IgnoredItems) > 0 {
		fmt.Fprintln(table, "\nIGNORED ITEM\tVERSION\tDISABLED UP TO\tSINCE")
	}
	for _, i := range e.IgnoredItems {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", i.TypeName, i.SchemaVersion, i.DisabledVersion, shown(i.Time))
	}
	return table.Flush()
}

// status tells the node's status and since when.
func status(e *wire.ExplainNodeResponse) string {
	if e.Status == "" {
		return "not known"
	}
	text := e.Status
	if e.Status == string(inventory.Active) {
		text += " (" + e.PingStatus + ")"
	}
	if !e.StatusTime.IsZero() {
		text += " since " + e.StatusTime.UTC().Format(time.DateTime)
	}
	return text
}

// words puts values of an entry together.
func words(e wire.Entry, names ...string) string {
	var said []string
	for _, name := range names {
		if v, _ := inventory.Entry(e).Get(name); v != "" {
			said = append(said, v)
		}
	}
	return strings.Join(said, " ")
}
