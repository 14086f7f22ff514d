package collect

import (
	"context"
	"fmt"

	"stocktake/internal/inventory"
)

const (
	typeApplication = inventory.TypeName("AWS:Application")
	typeComponent   = inventory.TypeName("AWS:AWSComponent")
	typeNetwork     = inventory.TypeName("AWS:Network")
	typeProcessor   = inventory.TypeName("AWS:InstanceDetailedInformation")
	typeFile        = inventory.TypeName("AWS:File")
)

// Options says what to gather beyond the types every machine has.
type Options struct {
	// Node is the id the items are for: it chooses the stock folder of custom files and the ResourceType.
	Node inventory.NodeID
	// AgentVersion is the version of this program, for AWS:InstanceInformation.
	AgentVersion string
	// Files is the stock agent's files filter, a JSON list; empty gathers no AWS:File.
	Files string
	// Managed leaves out AWS:InstanceInformation, which the service makes of a managed node's heartbeat.
	Managed bool
	// CustomDir is a folder of custom inventory files. Empty is the stock agent's folder for the node, where it exists.
	CustomDir string
}

// Report is what was gathered.
type Report struct {
	// Items holds one item a type, in a fixed order, each with its content and hash.
	Items []inventory.Item
	// Problems says what could not be gathered. The items are whole without it.
	Problems []Problem
}

// Problem is one thing that could not be gathered, and of which type, where that is known.
type Problem struct {
	Type inventory.TypeName
	Err  error
}

func (p Problem) Error() string {
	if p.Type == "" {
		return p.Err.Error()
	}
	return string(p.Type) + ": " + p.Err.Error()
}

func (p Problem) Unwrap() error { return p.Err }

// gathering is one run of Gather.
type gathering struct {
	report   Report
	captured string
}

// Gather reads the machine. A type whose source fails is left out and told as a Problem. An error means nothing was
// gathered: a files filter that is wrong or names too much, too many custom files, an item or a whole beyond the stock
// agent's sizes (3072 KiB, 10240 KiB), or a context that ended.
func (m *Machine) Gather(ctx context.Context, o Options) (Report, error) {
	g := &gathering{captured: m.Now().UTC().Format(timeForm)}
	m.gatherSystem(ctx, g, o)
	m.gatherApplications(ctx, g)
	if o.Files != "" {
		rows, problems, err := m.files(o.Files)
		if err != nil {
			return Report{}, err
		}
		g.problems(problems)
		put(g, typeFile, "1.0", rows)
	}
	items, problems, err := m.custom(o, g.captured)
	if err != nil {
		return Report{}, err
	}
	g.problems(problems)
	g.report.Items = append(g.report.Items, items...)
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("gather: %w", err)
	}
	return g.report, checkSizes(g.report.Items)
}

func (m *Machine) gatherSystem(ctx context.Context, g *gathering, o Options) {
	all, err := m.interfaces()
	if err != nil {
		g.problem(typeNetwork, err)
	} else {
		put(g, typeNetwork, "1.0", networks(all))
	}
	if row, err := m.platform(o, all); err != nil {
		g.problem(inventory.TypeInstanceInformation, err)
	} else if !o.Managed {
		put(g, inventory.TypeInstanceInformation, "1.0", []platform{row})
	}
	if row, err := m.processor(ctx); err != nil {
		g.problem(typeProcessor, err)
	} else {
		put(g, typeProcessor, "1.0", []processor{row})
	}
}

func (m *Machine) gatherApplications(ctx context.Context, g *gathering) {
	all, problems, err := m.applications(ctx)
	g.problems(problems)
	if err != nil {
		g.problem(typeApplication, err)
		return
	}
	put(g, typeApplication, "1.1", all)
	put(g, typeComponent, "1.0", components(all))
}

func (g *gathering) problem(t inventory.TypeName, err error) {
	g.report.Problems = append(g.report.Problems, Problem{t, err})
}

func (g *gathering) problems(p []Problem) { g.report.Problems = append(g.report.Problems, p...) }

func put[T any](g *gathering, name inventory.TypeName, version string, content []T) {
	item, err := newItem(name, version, g.captured, content)
	if err != nil {
		g.problem(name, err)
		return
	}
	g.report.Items = append(g.report.Items, item)
}
