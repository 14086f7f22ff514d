package main

import (
	"fmt"

	"stocktake/internal/wire"
)

type retentionCommand struct {
	Run retentionRunCommand `cmd:"" help:"Drop now what was not reported again for the time of the setting, however much it is."`
}

type retentionRunCommand struct{ connection }

// Help is shown below the usage.
func (retentionRunCommand) Help() string {
	return `The service does this by itself. A pass that would drop more than a fifth of an account's region stops, as a fault is
likelier than so large a change; this command is the answer when the change is real.`
}

// Run asks for a pass over the caller's account and region.
func (c *retentionRunCommand) Run(p *process) error {
	connected, err := c.open(p.ctx)
	if err != nil {
		return err
	}
	defer connected.Close()
	body, err := connected.Do(p.ctx, ownTarget+"RunRetention", (&wire.EmptyMessage{}).AppendJSON(nil))
	if err != nil {
		return err
	}
	var answer wire.RunRetentionResponse
	if err := answer.Decode(body); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "dropped %d of %d documents\n", answer.DroppedCount, answer.DocumentCount)
	return nil
}
