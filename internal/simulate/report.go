package simulate

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"stocktake/internal/inventory"
)

const timeForm = "2006-01-02T15:04:05Z"

// The types of a report, in their order.
const (
	typeNetwork     = inventory.TypeName("AWS:Network")
	typeApplication = inventory.TypeName("AWS:Application")
	typeService     = inventory.TypeName("AWS:Service")
	typeRack        = inventory.TypeName("Custom:RackInfo")
)

// Report is what one node reports in one round.
type Report struct {
	Node  inventory.NodeID
	Items []inventory.Item
}

// installation is one package on a node: which, in which of its versions, since when.
type installation struct {
	pack    int32
	variant int
	since   int64 // seconds since 1970
}

// Changed tells whether node n's report of the round differs from the one before; in round 0 it does.
func (f *Fleet) Changed(n, round int) bool {
	return round == 0 || below(hash(forChange, f.seed, uint64(n), uint64(round)), 100) < changedPercent
}

// Report gives the whole report of node n (from 0 to below Len) in a round (from 0).
func (f *Fleet) Report(n, round int) Report {
	r := f.outline(n, round)
	r.fill(inventory.TypeInstanceInformation, []inventory.Entry{f.information(n)})
	r.fill(typeNetwork, f.networks(n))
	r.fill(typeApplication, f.applications(n, round))
	r.fill(typeService, f.serviceEntries(n))
	r.fill(typeRack, []inventory.Entry{f.rack(n)})
	return r
}

// Slim gives the report as an agent sends it that knows its last one was taken: of what did not change since the round
// before, the hash alone. In round 0 it is the whole report.
func (f *Fleet) Slim(n, round int) Report {
	if round == 0 {
		return f.Report(n, 0)
	}
	r := f.outline(n, round)
	if f.Changed(n, round) {
		r.fill(typeApplication, f.applications(n, round))
	}
	return r
}

// Hashes gives the report of a node where nothing has changed since the round: of every type the hash alone.
func (f *Fleet) Hashes(n, round int) Report { return f.outline(n, round) }

func (r Report) fill(t inventory.TypeName, content []inventory.Entry) {
	i := slices.IndexFunc(r.Items, func(item inventory.Item) bool { return item.Type == t })
	r.Items[i].HasContent, r.Items[i].Content = true, content
}

// outline is a report without content. A hash stands for a type's content on a node since the round that last changed
// it, which is all that a hash has to do.
func (f *Fleet) outline(n, round int) Report {
	second := round*roundLength + below(hash(forNode, f.seed, uint64(n)), roundLength)
	captured := f.start.Add(time.Duration(second) * time.Second).Format(timeForm)
	r := Report{Node: f.ID(n), Items: []inventory.Item{
		{Type: inventory.TypeInstanceInformation, SchemaVersion: "1.0"},
		{Type: typeNetwork, SchemaVersion: "1.0"},
		{Type: typeApplication, SchemaVersion: "1.1"},
		{Type: typeService, SchemaVersion: "1.0"},
		{Type: typeRack, SchemaVersion: "1.0"},
	}}
	for i := range r.Items {
		item := &r.Items[i]
		last := 0
		if item.Type == typeApplication {
			for last = round; !f.Changed(n, last); last-- {
			}
		}
		item.CaptureTime = captured
		item.ContentHash = f.contentHash(n, i, last)
	}
	return r
}

func (f *Fleet) contentHash(n, item, round int) string {
	var sum [16]byte
	h := hash(forHash, f.seed, uint64(n), uint64(item), uint64(round))
	binary.BigEndian.PutUint64(sum[:8], h)
	binary.BigEndian.PutUint64(sum[8:], mix(h+1))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// installed gives node n's packages in a round, sorted by name.
func (f *Fleet) installed(n, round int) []installation {
	node := uint64(n)
	base := f.imageOf(n).base
	extra := stream(hash(forExtra, f.seed, node))
	count := basePackages + extraPackages - 10 + below(extra.next(), 21)
	packs := f.draw(f.extra, extra, append(make([]int32, 0, count), base...), count)
	all := make([]installation, len(packs))
	for i, p := range packs {
		all[i] = installation{
			pack: p, variant: variant(below(hash(forVariant, f.seed, node, uint64(p)), 100)),
			since: firstRound - 1 - int64(below(hash(forInstalled, f.seed, node, uint64(p)), installSpan)),
		}
	}
	for k := 1; k <= round; k++ {
		if f.Changed(n, k) {
			f.edit(n, k, all)
		}
	}
	return all
}

// edit changes 2 to 10 packages to another of their versions.
func (f *Fleet) edit(n, round int, all []installation) {
	s := stream(hash(forEdits, f.seed, uint64(n), uint64(round)))
	left := minEdits + below(s.next(), maxEdits-minEdits+1)
	touched := make([]int, 0, maxEdits)
	for len(touched) < left {
		i := below(s.next(), len(all))
		if slices.Contains(touched, i) {
			continue
		}
		touched = append(touched, i)
		all[i].variant = (all[i].variant + 1 + below(s.next(), versions-1)) % versions
		all[i].since = firstRound + int64(round*roundLength+below(s.next(), roundLength))
	}
}

// variant picks one of three versions, 80 to 15 to 5.
func variant(percent int) int {
	switch {
	case percent < 80:
		return 0
	case percent < 95:
		return 1
	}
	return 2
}

func (f *Fleet) imageOf(n int) *image {
	return &f.images[below(hash(forImage, f.seed, uint64(n)), images)]
}

// entries cuts entries out of one array, for a report has thousands of attributes.
type entries struct {
	attributes []inventory.Attribute
	all        []inventory.Entry
}

func newEntries(n, width int) *entries {
	return &entries{make([]inventory.Attribute, 0, n*width), make([]inventory.Entry, 0, n)}
}

// add takes names and values by turns, sorted by name.
func (e *entries) add(pairs ...string) {
	from := len(e.attributes)
	for i := 0; i < len(pairs); i += 2 {
		e.attributes = append(e.attributes, inventory.Attribute{Name: pairs[i], Value: pairs[i+1]})
	}
	e.all = append(e.all, e.attributes[from:len(e.attributes):len(e.attributes)])
}

func (f *Fleet) applications(n, round int) []inventory.Entry {
	suffixes := [versions]string{"", "+u1", "+u2"}
	all := f.installed(n, round)
	out := newEntries(len(all), 11)
	for _, one := range all {
		p := &f.packs[one.pack]
		suffix := suffixes[one.variant]
		out.add(
			"ApplicationType", p.section, "Architecture", p.arch, "Epoch", p.epoch,
			"InstalledTime", time.Unix(one.since, 0).UTC().Format(timeForm), "Name", p.name,
			"PackageId", p.name+"_"+p.version+suffix+"_"+p.arch+".deb", "Publisher", p.publisher, "Release", p.release+suffix,
			"Summary", p.summary, "URL", p.url, "Version", p.version+suffix)
	}
	return out.all
}

func (f *Fleet) serviceEntries(n int) []inventory.Entry {
	out := newEntries(services, 7)
	for i, s := range f.imageOf(n).services {
		status := "Running"
		if s.starts == "Disabled" || below(hash(forStatus, f.seed, uint64(n), uint64(i)), 10) == 0 {
			status = "Stopped"
		}
		out.add(
			"DependentServices", "", "DisplayName", s.display, "Name", s.name, "ServiceType", s.kind,
			"ServicesDependedOn", s.needs, "StartType", s.starts, "Status", status)
	}
	return out.all
}

func (f *Fleet) networks(n int) []inventory.Entry {
	out := newEntries(2, 5)
	for i, name := range []string{"eth0", "eth1"} {
		four := address(i, n)
		gateway := four.As4()
		gateway[3] = 1
		six := netip.AddrFrom16([16]byte{0: 0xfd, 3: byte(i), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
		out.add(
			"Gateway", netip.AddrFrom4(gateway).String(), "IPV4", four.String(), "IPV6", six.String(),
			"MacAddress", fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", i, n>>24&0xff, n>>16&0xff, n>>8&0xff, n&0xff), "Name", name)
	}
	return out.all
}

// address is unique over a million nodes on the second interface, and over sixteen on the first.
func address(i, n int) netip.Addr {
	if i == 0 {
		return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return netip.AddrFrom4([4]byte{172, 16 | byte(n>>16&0xf), byte(n >> 8), byte(n)})
}

func (f *Fleet) information(n int) inventory.Entry {
	agents := []string{"3.3.0.0", "3.2.2303.0", "3.2.1630.0"}
	out := newEntries(1, 8)
	image := f.imageOf(n)
	out.add(
		"AgentType", "amazon-ssm-agent", "AgentVersion", agents[variant(below(hash(forNode, f.seed, uint64(n), 1), 100))],
		"ComputerName", "node-"+strconv.Itoa(n)+".example.org", "IpAddress", address(0, n).String(), "PlatformName", image.platform,
		"PlatformType", "Linux", "PlatformVersion", image.version, "ResourceType", "EC2Instance")
	return out.all[0]
}

func (f *Fleet) rack(n int) inventory.Entry {
	centres := []string{"Oslo", "Porto", "Riga"}
	owners := []string{"platform", "payments", "research", "web"}
	s := stream(hash(forNode, f.seed, uint64(n), 2))
	out := newEntries(1, 3)
	out.add(
		"DataCenter", centres[below(s.next(), len(centres))], "Owner", owners[below(s.next(), len(owners))],
		"RackLocation", fmt.Sprintf("Bay %c/Row %d/Shelf %d", 'A'+below(s.next(), 20), below(s.next(), 40), below(s.next(), 42)))
	return out.all[0]
}
