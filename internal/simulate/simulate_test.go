package simulate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
)

// fleet is shared by the tests: it never changes.
var fleet = sync.OnceValue(func() *Fleet { return New(1, 20_000) })

// The bytes of a seed are written down: benchmarks of different days compare only while they hold.
func TestFleetIsTheSameAtEveryRun(t *testing.T) {
	t.Parallel()
	sum := sha256.New()
	var body []byte
	for _, n := range []int{0, 1, 7, 1999, 19_999} {
		for _, round := range []int{0, 1, 50} {
			body = fleet().Report(n, round).AppendPutInventory(body[:0])
			body = fleet().Slim(n, round).AppendPutInventory(body)
			sum.Write(body)
		}
	}
	if got, want := hex.EncodeToString(sum.Sum(nil)), "d0ef5e8a2c2e37afcdc5c7c1c87cd322f55e202a135023dd51a6b554ec63d0d2"; got != want {
		t.Errorf("sha256 of seed 1 is %s, want %s: a change of the workload; if it is meant, old figures no longer compare", got, want)
	}
}

func TestFleetOfOtherSizeSeedOrStart(t *testing.T) {
	t.Parallel()
	small := New(1, 3)
	if diff := cmp.Diff(fleet().Report(2, 9), small.Report(2, 9)); diff != "" {
		t.Errorf("a smaller fleet has another node 2 (-large +small):\n%s", diff)
	}
	if small.Len() != 3 {
		t.Errorf("length %d", small.Len())
	}
	if other := New(2, 3); other.ID(0) == small.ID(0) || slices.Equal(other.installed(0, 0), small.installed(0, 0)) {
		t.Error("another seed gives the same node")
	}
	moved := small.At(time.Date(2030, 5, 6, 12, 0, 0, 0, time.FixedZone("", 3600))).Report(1, 2)
	if got := moved.Items[0].CaptureTime; got < "2030-05-06T12:00:00Z" || got > "2030-05-06T12:30:00Z" {
		t.Errorf("capture time %s of round 2 of a fleet moved to 2030-05-06T11:00:00Z", got)
	}
	for i := range moved.Items {
		moved.Items[i].CaptureTime = small.Report(1, 2).Items[i].CaptureTime
	}
	if diff := cmp.Diff(small.Report(1, 2), moved); diff != "" {
		t.Errorf("more than the capture time moved:\n%s", diff)
	}
}

func TestNodeIDs(t *testing.T) {
	t.Parallel()
	seen := make(map[inventory.NodeID]bool)
	for n := range 100_000 {
		id := fleet().ID(n)
		if !id.Valid() || len(id) != 19 || strings.ToLower(string(id)) != string(id) {
			t.Fatalf("node %d: %q", n, id)
		}
		seen[id] = true
	}
	if len(seen) != 100_000 {
		t.Errorf("%d ids of 100000 nodes", len(seen))
	}
}

func TestReportWeight(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		report := fleet().Report(n, 0)
		counts := make(map[inventory.TypeName]int)
		for _, item := range report.Items {
			counts[item.Type] = len(item.Content)
		}
		applications := counts[typeApplication]
		delete(counts, typeApplication)
		want := map[inventory.TypeName]int{inventory.TypeInstanceInformation: 1, typeNetwork: 2, typeService: 150, typeRack: 1}
		if diff := cmp.Diff(want, counts); diff != "" || applications < 390 || applications > 410 {
			t.Fatalf("node %d: %d applications; others (-want +got):\n%s", n, applications, diff)
		}
		if size := len(report.AppendPutInventory(nil)); size < 150_000 || size > 250_000 {
			t.Errorf("node %d: a body of %d bytes", n, size)
		}
	}
	if size := len(fleet().Slim(0, quietRound(0)).AppendPutInventory(nil)); size < 500 || size > 1000 {
		t.Errorf("an unchanged report of %d bytes", size)
	}
}

func quietRound(n int) int {
	round := 1
	for fleet().Changed(n, round) {
		round++
	}
	return round
}

func TestEntriesSorted(t *testing.T) {
	t.Parallel()
	for _, item := range fleet().Report(3, 5).Items {
		for _, entry := range item.Content {
			if !slices.IsSortedFunc(entry, func(a, b inventory.Attribute) int { return strings.Compare(a.Name, b.Name) }) {
				t.Fatalf("%s: attributes out of order: %v", item.Type, entry)
			}
		}
		if item.Type != typeApplication && item.Type != typeService {
			continue
		}
		if !slices.IsSortedFunc(item.Content, func(a, b inventory.Entry) int { return strings.Compare(value(a, "Name"), value(b, "Name")) }) {
			t.Errorf("%s: entries out of order", item.Type)
		}
	}
}

func value(e inventory.Entry, name string) string {
	v, _ := e.Get(name)
	return v
}

// The body says what the items say, read by another hand.
func TestBodyHoldsItems(t *testing.T) {
	t.Parallel()
	changed := 1
	for !fleet().Changed(5, changed) {
		changed++
	}
	for _, report := range []Report{fleet().Report(5, 3), fleet().Slim(5, changed), fleet().Slim(5, quietRound(5))} {
		var body struct {
			InstanceId string //nolint:revive,staticcheck // the member's name on the wire
			Items      []struct {
				TypeName, SchemaVersion, CaptureTime, ContentHash string
				Content                                           []map[string]string
			}
		}
		if err := json.Unmarshal(report.AppendPutInventory(nil), &body); err != nil {
			t.Fatal(err)
		}
		got := Report{Node: inventory.NodeID(body.InstanceId)}
		for _, item := range body.Items {
			read := inventory.Item{
				Type: inventory.TypeName(item.TypeName), SchemaVersion: item.SchemaVersion, CaptureTime: item.CaptureTime,
				ContentHash: item.ContentHash, HasContent: item.Content != nil,
			}
			for _, row := range item.Content {
				var entry inventory.Entry
				for name, v := range row {
					entry = append(entry, inventory.Attribute{Name: name, Value: v})
				}
				slices.SortFunc(entry, func(a, b inventory.Attribute) int { return strings.Compare(a.Name, b.Name) })
				read.Content = append(read.Content, entry)
			}
			got.Items = append(got.Items, read)
		}
		if diff := cmp.Diff(report, got); diff != "" {
			t.Errorf("body (-items +read):\n%s", diff)
		}
	}
}

// A round's share of changed reports, what changes in them, and hashes that change with the content and only then.
func TestSteadyState(t *testing.T) {
	t.Parallel()
	const nodes, rounds = 4000, 25
	changed := 0
	for n := range nodes {
		for round := 1; round <= rounds; round++ {
			if fleet().Changed(n, round) {
				changed++
			}
		}
	}
	if share := float64(changed) / (nodes * rounds); share < 0.045 || share > 0.055 {
		t.Errorf("%.2f %% of reports changed", share*100)
	}
	for n := range 12 {
		before := fleet().Report(n, 0)
		for round := 1; round <= rounds; round++ {
			now := fleet().Report(n, round)
			edits := differing(t, before, now)
			if fleet().Changed(n, round) != (edits > 0) || edits > 0 && (edits < minEdits || edits > maxEdits) {
				t.Errorf("node %d, round %d: %d entries differ, changed %v", n, round, edits, fleet().Changed(n, round))
			}
			before = now
		}
	}
}

// differing counts the entries that differ, and holds every hash against its content.
func differing(t *testing.T, a, b Report) int {
	t.Helper()
	edits := 0
	for i := range a.Items {
		here := 0
		for j := range a.Items[i].Content {
			if !slices.Equal(a.Items[i].Content[j], b.Items[i].Content[j]) {
				here++
			}
		}
		if (here == 0) != (a.Items[i].ContentHash == b.Items[i].ContentHash) {
			t.Errorf("%s: %d entries differ, hashes %s and %s", a.Items[i].Type, here, a.Items[i].ContentHash, b.Items[i].ContentHash)
		}
		edits += here
	}
	return edits
}

func TestSlimLeavesOutTheUnchanged(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(fleet().Report(1, 0), fleet().Slim(1, 0)); diff != "" {
		t.Errorf("round 0 is not whole:\n%s", diff)
	}
	for n := range 60 {
		full, slim := fleet().Report(n, 7), fleet().Slim(n, 7)
		for i, item := range slim.Items {
			if want := item.Type == typeApplication && fleet().Changed(n, 7); item.HasContent != want {
				t.Errorf("node %d: %s has content: %v", n, item.Type, item.HasContent)
			}
			if item.HasContent {
				continue
			}
			whole := full.Items[i]
			whole.HasContent, whole.Content = false, nil
			if diff := cmp.Diff(whole, item); diff != "" {
				t.Errorf("node %d: %s (-full +slim):\n%s", n, item.Type, diff)
			}
		}
	}
}

func TestHashesAreThoseOfTheRound(t *testing.T) {
	t.Parallel()
	for n := range 20 {
		for _, round := range []int{0, 6} {
			want := fleet().Report(n, round)
			for i := range want.Items {
				want.Items[i].HasContent, want.Items[i].Content = false, nil
			}
			if diff := cmp.Diff(want, fleet().Hashes(n, round)); diff != "" {
				t.Errorf("node %d, round %d (-full without content +hashes):\n%s", n, round, diff)
			}
		}
	}
}

// The figures of the measurements the workload comes from: distinct entries with and without their time in 300 nodes,
// and how far the names reach in 2,000.
func TestDistinctEntries(t *testing.T) {
	t.Parallel()
	type shape struct {
		pack    int32
		variant int
	}
	whole, shapes, names := make(map[installation]bool), make(map[shape]bool), make(map[string]int)
	versions := make(map[int]int)
	total := 0
	for n := range 2000 {
		for _, one := range fleet().installed(n, 0) {
			p := &fleet().packs[one.pack]
			names[p.name]++
			versions[one.variant]++
			if n < 300 {
				total++
				shapes[shape{one.pack, one.variant}] = true
				whole[one] = true
			}
		}
	}
	within(t, "entries of 300 nodes", total, 119_000, 121_000)
	within(t, "distinct entries of 300 nodes", len(whole), total*99/100, total)
	within(t, "distinct entries of 300 nodes without their time", len(shapes), 17_000, 21_000)
	within(t, "distinct names of 2000 nodes", len(names), 39_000, 43_000)
	within(t, "nodes of 2000 with the commonest package", slices.Max(counts(names)), 1000, 1600)
	within(t, "names on fewer than 10 of 2000 nodes", rare(names, 10), 30_000, 44_000)
	all := versions[0] + versions[1] + versions[2]
	within(t, "first versions of 1000", versions[0]*1000/all, 795, 805)
	within(t, "second versions of 1000", versions[1]*1000/all, 145, 155)
}

func counts(names map[string]int) []int {
	var all []int
	for _, n := range names {
		all = append(all, n)
	}
	return all
}

func rare(names map[string]int, below int) int {
	found := 0
	for _, n := range names {
		if n < below {
			found++
		}
	}
	return found
}

func within(t *testing.T, what string, got, low, high int) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %d, want %d to %d", what, got, low, high)
	}
}

// Ranks are drawn as often as their weights say, at the head and at the tail.
func TestZipf(t *testing.T) {
	t.Parallel()
	const n, draws, offset = 1000, 400_000, 5
	z := newZipf(n, offset)
	var got [n]int
	s := stream(7)
	for range draws {
		got[z.draw(s.next())]++
	}
	var weights [n]float64
	var sum float64
	for r := range n {
		weights[r] = 1 / float64(r+1+offset)
		sum += weights[r]
	}
	for _, span := range [][2]int{{0, 1}, {1, 10}, {10, 100}, {100, 900}, {900, n}} {
		found, want := 0, 0.0
		for r := span[0]; r < span[1]; r++ {
			found += got[r]
			want += draws * weights[r] / sum
		}
		if float64(found) < want*0.96 || float64(found) > want*1.04 {
			t.Errorf("ranks %d to %d drawn %d times, want about %.0f", span[0], span[1]-1, found, want)
		}
	}
	if low, high := z.draw(0), z.draw(^uint64(0)); low != 0 || high != n-1 {
		t.Errorf("the ends of the range draw %d and %d", low, high)
	}
}

func TestCatalogueRefusesDamage(t *testing.T) {
	t.Parallel()
	if packs, err := readCatalogue(packagesFile); err != nil || len(packs) != 63_666 {
		t.Errorf("%d packages, %v", len(packs), err)
	}
	for _, file := range [][]byte{nil, []byte("name\tversion\tsection\n"), packagesFile[:len(packagesFile)/2]} {
		if _, err := readCatalogue(file); err == nil {
			t.Errorf("%d damaged bytes passed for a catalogue", len(file))
		}
	}
	if _, err := parsePack("bash\t5.2"); err == nil {
		t.Error("a line of two fields passed")
	}
}

func FuzzBodyString(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\n\x00\x7f<€>\xff\xe2\x82")
	f.Fuzz(func(t *testing.T, s string) {
		text := appendString(nil, s)
		var got string
		if err := json.Unmarshal(text, &got); err != nil || !utf8.Valid(text) {
			t.Fatalf("%q became %q: %v", s, text, err)
		}
		if want := string([]rune(s)); got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}

func BenchmarkReport(b *testing.B) {
	f := fleet()
	var body []byte
	n := 0
	for b.Loop() {
		body = f.Report(n%f.Len(), 20).AppendPutInventory(body[:0])
		n++
	}
	b.SetBytes(int64(len(body)))
}

func BenchmarkSlim(b *testing.B) {
	f := fleet()
	var body []byte
	n := 0
	for b.Loop() {
		body = f.Slim(n%f.Len(), 20).AppendPutInventory(body[:0])
		n++
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		New(1, 20_000)
	}
}
