package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"stocktake/internal/wire"
)

// question is one thing the demo asks: what it means, the command of the aws CLI that asks the same, and what to do.
type question struct {
	meaning string
	command string
	ask     func(ctx context.Context) (answer [][]string, note string, err error)
}

// ask puts a filter, an aggregation and a listing to the public API, and prints them beside the equal command.
func (d *demo) ask(ctx context.Context) error {
	for _, q := range []question{
		{
			"Which nodes have a bash newer than 5.2.15-2+b13+u1? Both filters hold for one and the same entry.",
			`aws ssm get-inventory --filters Key=AWS:Application.Name,Values=bash Key=AWS:Application.Version,Values=5.2.15-2+b13+u1,Type=GreaterThan`,
			d.newer,
		},
		{
			"How many nodes run which platform?",
			`aws ssm get-inventory --aggregators 'Expression=AWS:InstanceInformation.PlatformName,Aggregators=[{Expression=AWS:InstanceInformation.PlatformVersion}]'`,
			d.platforms,
		},
		{
			"What is on this machine?",
			`aws ssm list-inventory-entries --type-name AWS:Application --max-results 5 --instance-id ` + string(d.node),
			d.applications,
		},
	} {
		began := time.Now()
		rows, note, err := q.ask(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", q.command, err)
		}
		took := time.Since(began)
		fmt.Fprintf(d.stdout, "\n%s\n  $ %s\n", q.meaning, q.command)
		table := tabwriter.NewWriter(d.stdout, 4, 0, 2, ' ', 0)
		for _, row := range rows {
			fmt.Fprintf(table, "    %s\n", strings.Join(row, "\t"))
		}
		if err := table.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(d.stdout, "    %s (%.1f ms)\n", note, float64(took.Microseconds())/1000)
	}
	return nil
}

// shownRows is how many rows of an answer are printed.
const shownRows = 5

func (d *demo) newer(ctx context.Context) (rows [][]string, note string, err error) {
	greater := "GreaterThan"
	ask := &wire.GetInventoryRequest{Filters: []wire.Filter{
		{Key: "AWS:Application.Name", Values: []string{"bash"}},
		{Key: "AWS:Application.Version", Values: []string{"5.2.15-2+b13+u1"}, Type: &greater},
	}}
	found := 0
	for {
		page, err := d.client.GetInventory(ctx, ask)
		if err != nil {
			return nil, "", err
		}
		for _, e := range page.Entities {
			if found++; found <= shownRows && len(e.Data) > 0 && len(e.Data[0].Content) > 0 {
				about := e.Data[0].Content[0]
				rows = append(rows, []string{e.Id, member(about, "ComputerName"), member(about, "PlatformName"), member(about, "PlatformVersion")})
			}
		}
		if page.NextToken == "" {
			return rows, fmt.Sprintf("%d nodes, all pages read", found), nil
		}
		ask.NextToken = page.NextToken
	}
}

func (d *demo) platforms(ctx context.Context) (rows [][]string, note string, err error) {
	name, version := "AWS:InstanceInformation.PlatformName", "AWS:InstanceInformation.PlatformVersion"
	answer, err := d.client.GetInventory(ctx, &wire.GetInventoryRequest{
		Aggregators: []wire.Aggregator{{Expression: &name, Aggregators: []wire.Aggregator{{Expression: &version}}}},
	})
	if err != nil {
		return nil, "", err
	}
	for _, e := range answer.Entities {
		for _, data := range e.Data {
			for _, row := range data.Content {
				rows = append(rows, []string{member(row, "PlatformName"), member(row, "PlatformVersion"), member(row, "Count")})
			}
		}
	}
	return rows, fmt.Sprintf("%d rows", len(rows)), nil
}

func (d *demo) applications(ctx context.Context) (rows [][]string, note string, err error) {
	most := int32(shownRows)
	answer, err := d.client.ListInventoryEntries(ctx, &wire.ListInventoryEntriesRequest{
		InstanceId: string(d.node), TypeName: "AWS:Application", MaxResults: &most,
	})
	if err != nil {
		return nil, "", err
	}
	for _, e := range answer.Entries {
		rows = append(rows, []string{member(e, "Name"), member(e, "Version"), member(e, "Architecture")})
	}
	note = "all there are"
	if answer.NextToken != "" {
		note = "the first page; NextToken leads on"
	}
	return rows, note, nil
}

// member gives an attribute of an entry, empty where it has none.
func member(e wire.Entry, name string) string {
	for _, pair := range e {
		if pair.Name == name {
			return pair.Value
		}
	}
	return ""
}

// next says what to type in another terminal.
func (d *demo) next() {
	fmt.Fprintf(d.stdout, `
The service runs until Ctrl-C, and any AWS client can ask it the same. In another terminal, for example:

  export AWS_SHARED_CREDENTIALS_FILE=%s/root-credentials AWS_ENDPOINT_URL=%s AWS_DEFAULT_REGION=%s
  aws ssm get-inventory-schema --query 'Schemas[].TypeName'
  bin/stocktake node list
  bin/stocktake collect

An aws CLI from before 2023 does not know AWS_ENDPOINT_URL: give it --endpoint-url.
`, d.data, d.url, demoRegion)
}
