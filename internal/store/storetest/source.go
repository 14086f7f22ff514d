package storetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"stocktake/internal/inventory"
)

// Source makes random nodes, items and documents. Equal seeds make equal ones. It is for one goroutine.
type Source struct {
	*rand.Rand
	// Packages is how many packages there are to draw from, each in three versions.
	Packages int
}

// NewSource makes a source of few nodes and packages, so that what it makes meets often.
func NewSource(seed uint64) *Source {
	return &Source{Rand: rand.New(rand.NewPCG(seed, 0)), Packages: 40}
}

// Epoch is the time the reports of a source begin at.
var Epoch = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// Partitions are those NodeKey draws from.
var Partitions = []inventory.Partition{
	{Account: "000000000000", Region: "us-east-1"},
	{Account: "000000000000", Region: "eu-central-1"},
	{Account: "123456789012", Region: "us-east-1"},
}

// Node gives the n-th node of the first partition.
func Node(n int) inventory.NodeKey {
	return inventory.NodeKey{Partition: Partitions[0], Node: inventory.NodeID(fmt.Sprintf("i-%017x", n))}
}

// NodeKey draws one of so many nodes of each partition.
func (s *Source) NodeKey(nodes int) inventory.NodeKey {
	key := Node(s.IntN(nodes))
	key.Partition = Partitions[s.IntN(len(Partitions))]
	return key
}

// Item draws a whole item: one of a few types, with so many entries at most.
func (s *Source) Item(entries int) inventory.Item {
	types := []inventory.TypeName{"AWS:Application", "AWS:Network", "Custom:RackInfo", inventory.TypeComplianceItem}
	item := inventory.Item{
		Type: types[s.IntN(len(types))], SchemaVersion: "1." + fmt.Sprint(s.IntN(3)), HasContent: true,
		CaptureTime: s.Time(), ContentHash: fmt.Sprintf("%016x%016x", s.Uint64(), s.Uint64()),
	}
	if s.IntN(4) == 0 {
		item.ContentHash = "sha-256:Not Hex"
	}
	if item.Type == inventory.TypeComplianceItem {
		kinds := []string{"Patch", "Association", "Custom:Own"}
		item.Context = inventory.Entry{
			{Name: "ComplianceType", Value: kinds[s.IntN(len(kinds))]},
			{Name: "ExecutionId", Value: fmt.Sprint(s.IntN(1000))},
		}
	}
	for range s.IntN(entries + 1) {
		item.Content = append(item.Content, s.Entry())
	}
	return item
}

// Entry draws a package, with a time of installation, mostly, of its own.
func (s *Source) Entry() inventory.Entry {
	pkg := s.IntN(s.Packages)
	e := inventory.Entry{
		{Name: "Architecture", Value: []string{"amd64", "all"}[pkg%2]},
		{Name: "InstalledTime", Value: s.Time()},
		{Name: "Name", Value: fmt.Sprintf("package-%04d", pkg)},
		{Name: "Version", Value: fmt.Sprintf("%d.%d-1", pkg%7, s.IntN(3))},
	}
	switch s.IntN(12) {
	case 0:
		e[1].Value = "yesterday"
	case 1:
		e[1].Value = ""
	case 2:
		e = append(e[:1], e[2:]...)
	case 3:
		e[3].Value = "\x00\xff ü"
	}
	return e
}

// Time draws a time of the three years before Epoch, in the form of the wire.
func (s *Source) Time() string {
	return Epoch.Add(-time.Duration(s.Int64N(3*365*86400)) * time.Second).Format("2006-01-02T15:04:05Z")
}

// Fleet draws the report of a simulated machine of the size storage is measured with: 400 applications, 150 services and
// a few small types, most of it shared by the fleet.
func (s *Source) Fleet(n int) []inventory.Item {
	item := func(t inventory.TypeName, entries []inventory.Entry) inventory.Item {
		return inventory.Item{
			Type: t, SchemaVersion: "1.0", HasContent: true, CaptureTime: s.Time(),
			ContentHash: fmt.Sprintf("%016x%016x", s.Uint64(), s.Uint64()), Content: entries,
		}
	}
	image := n % 8
	var applications, services []inventory.Entry
	for i := range 400 {
		pkg := image*150 + i // the base set of the image, which overlaps that of the next
		if i >= 300 {
			pkg = 2000 + int(float64(60000)*s.Float64()*s.Float64()*s.Float64())
		}
		version := 0
		if v := s.IntN(20); v > 15 {
			version = 1 + v/19
		}
		applications = append(applications, inventory.Entry{
			{Name: "ApplicationType", Value: "admin"},
			{Name: "Architecture", Value: "x86_64"},
			{Name: "InstalledTime", Value: s.Time()},
			{Name: "Name", Value: fmt.Sprintf("package-name-%05d", pkg)},
			{Name: "PackageId", Value: fmt.Sprintf("package-name-%05d-%d.%d.rpm", pkg, pkg%9, version)},
			{Name: "Publisher", Value: fmt.Sprintf("Maintainers of collection %d", pkg%200)},
			{Name: "Summary", Value: fmt.Sprintf("What package %d is good for, in a line of text", pkg)},
			{Name: "Version", Value: fmt.Sprintf("%d.%d", pkg%9, version)},
		})
	}
	for i := range 150 {
		services = append(services, inventory.Entry{
			{Name: "DisplayName", Value: fmt.Sprintf("Service number %d", image*20+i)},
			{Name: "Name", Value: fmt.Sprintf("service-%d", image*20+i)},
			{Name: "Status", Value: []string{"Running", "Running", "Running", "Stopped"}[s.IntN(4)]},
		})
	}
	network := []inventory.Entry{
		{{Name: "IPV4", Value: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255)}, {Name: "Name", Value: "eth0"}},
		{{Name: "IPV4", Value: "127.0.0.1"}, {Name: "Name", Value: "lo"}},
	}
	information := []inventory.Entry{{{Name: "ComputerName", Value: fmt.Sprintf("host-%d", n)}, {Name: "PlatformName", Value: "Debian"}}}
	rack := []inventory.Entry{{{Name: "Rack", Value: fmt.Sprint(n / 40)}}}
	return []inventory.Item{
		item("AWS:Application", applications), item("AWS:Service", services), item("AWS:Network", network),
		item(inventory.TypeInstanceInformation, information), item("Custom:RackInfo", rack),
	}
}
