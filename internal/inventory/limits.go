package inventory

import "time"

// Limits are the service's bounds. The zero value of a field is not its default; begin with DefaultLimits. Each has a key
// in the configuration file.
type Limits struct {
	// ItemBytes and CallBytes bound an item and all items of a call, as received. The defaults are what the stock agent
	// may send; AWS's own megabyte would refuse its larger reports.
	ItemBytes int
	CallBytes int
	// CustomTypes bounds the account's types in a region (AWS: 20).
	CustomTypes int
	// CustomAttributes bounds the attributes of a Custom type, all versions together (AWS: 50).
	CustomAttributes int
	// ComplianceTypes bounds the custom compliance types (`Custom:...`) of a node (AWS: 10).
	ComplianceTypes int
	// SubTypes bounds the compliance types of all nodes of a partition, Association and Patch apart.
	SubTypes int
	// Activations bounds the activations of an account, in all its regions: those that can be used, and those that expired
	// no more than a month ago.
	Activations int
	// Retention is how long a document is kept after the last report of it arrived (AWS: 30 days); 0 keeps it for ever.
	Retention time.Duration
	// PageNodes and PageEntries bound MaxResults of GetInventory and ListInventoryEntries (AWS: 50).
	PageNodes   int
	PageEntries int
	// AggregateRows bounds the rows of one page of counts.
	AggregateRows int
	// AggregateWork bounds the work of one question's counting, in steps of joining a value with a set of nodes.
	AggregateWork int
	// Nodes and Shapes bound a partition: nodes known, and shapes of one type. A report that would pass them is refused.
	Nodes  int
	Shapes int
	// Regions bounds the regions of an account that hold anything: a region is whatever a signature names.
	Regions int
	// Attributes bounds the attributes of a built-in type in a partition, those its schema does not have included.
	Attributes int
}

// DefaultLimits gives AWS's quotas, with the exceptions the fields name.
func DefaultLimits() Limits {
	return Limits{
		ItemBytes:        3 << 20,
		CallBytes:        10 << 20,
		CustomTypes:      20,
		CustomAttributes: 50,
		ComplianceTypes:  10,
		SubTypes:         1000,
		Activations:      10_000,
		Retention:        30 * 24 * time.Hour,
		PageNodes:        50,
		PageEntries:      50,
		AggregateRows:    10_000,
		AggregateWork:    50_000_000,
		Nodes:            2_000_000,
		Shapes:           20_000_000,
		Regions:          100,
		Attributes:       250,
	}
}
