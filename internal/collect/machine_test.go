package collect

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
)

const testNode = inventory.NodeID("i-0123456789abcdef0")

// recorded is a machine of a few files, two interfaces and recorded commands.
type recorded struct {
	*Machine
	commands map[string]func() (string, error)
	env      map[string]string
}

func newRecorded(t *testing.T) *recorded {
	t.Helper()
	r := &recorded{commands: make(map[string]func() (string, error)), env: make(map[string]string)}
	r.Machine = &Machine{
		Root: t.TempDir(),
		Run: func(_ context.Context, name string, _ ...string) ([]byte, error) {
			command, ok := r.commands[name]
			if !ok {
				return nil, fmt.Errorf("%s: %w", name, exec.ErrNotFound)
			}
			out, err := command()
			return []byte(out), err
		},
		Interfaces: func() ([]Interface, error) {
			return []Interface{
				{Name: "lo", Loopback: true, Up: true, Addrs: addrs("127.0.0.1", "::1")},
				{Name: "down0", MAC: "02:00:00:00:00:09", Addrs: addrs("192.0.2.9")},
				{Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Addrs: addrs("10.0.0.4", "10.0.0.5", "2001:db8::5", "fe80::1%eth0")},
			}, nil
		},
		Getenv: func(name string) string { return r.env[name] },
		Now:    func() time.Time { return time.Date(2026, 1, 2, 4, 4, 5, 6, time.FixedZone("", 3600)) },
	}
	r.write(t, "/etc/os-release", "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n")
	r.write(t, "/proc/sys/kernel/hostname", "web1\n")
	r.write(t, "/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n")
	r.write(t, "/proc/cpuinfo", "processor\t: 0\nmodel name\t: Test\n")
	return r
}

func addrs(text ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range text {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func (r *recorded) write(t *testing.T, name, text string) {
	t.Helper()
	path := r.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *recorded) says(name, out string) {
	r.commands[name] = func() (string, error) { return out, nil }
}

func (r *recorded) fails(name string) {
	r.commands[name] = func() (string, error) { return "", errors.New(name + " failed: lock held") }
}

func (r *recorded) gather(t *testing.T, o Options) Report {
	t.Helper()
	report, err := r.Gather(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func record(fields ...string) string { return strings.Join(fields, fieldEnd) + recordEnd }

func itemOf(t *testing.T, report Report, name inventory.TypeName) inventory.Item {
	t.Helper()
	for _, item := range report.Items {
		if item.Type == name {
			return item
		}
	}
	t.Fatalf("no item of %s; problems: %v", name, report.Problems)
	return inventory.Item{}
}

// shape is a report in short: each item's type and count of entries, and every problem.
func shape(report Report) []string {
	var lines []string
	for _, item := range report.Items {
		lines = append(lines, fmt.Sprintf("%s %s %d", item.Type, item.SchemaVersion, len(item.Content)))
	}
	for _, p := range report.Problems {
		lines = append(lines, "problem: "+p.Error())
	}
	return lines
}

func TestGatherBareMachine(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	report := r.gather(t, Options{Node: testNode, AgentVersion: "1.2.3"})
	want := []string{
		"AWS:Network 1.0 2", "AWS:InstanceInformation 1.0 1", "AWS:InstanceDetailedInformation 1.0 1",
		"AWS:Application 1.1 0", "AWS:AWSComponent 1.0 0",
	}
	if diff := cmp.Diff(want, shape(report)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	for _, item := range report.Items {
		if item.CaptureTime != "2026-01-02T03:04:05Z" || !item.HasContent {
			t.Errorf("%s: capture time %q, content %v", item.Type, item.CaptureTime, item.HasContent)
		}
	}
	if got := itemOf(t, report, typeApplication).ContentHash; got != "N6YlnMDB2uKZp4Zkid/wvQ==" {
		t.Errorf("hash of no applications %q is not the one of the text null", got)
	}
}

func TestGatherSystem(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	report := r.gather(t, Options{Node: "mi-0123456789abcdef0", AgentVersion: "1.2.3"})
	want := []inventory.Entry{
		{
			{Name: "AgentType", Value: "stocktake-collect"},
			{Name: "AgentVersion", Value: "1.2.3"},
			{Name: "ComputerName", Value: "web1"},
			{Name: "IpAddress", Value: "10.0.0.4"},
			{Name: "PlatformName", Value: "Debian GNU/Linux"},
			{Name: "PlatformType", Value: "Linux"},
			{Name: "PlatformVersion", Value: "12"},
			{Name: "ResourceType", Value: "ManagedInstance"},
		},
	}
	if diff := cmp.Diff(want, itemOf(t, report, inventory.TypeInstanceInformation).Content); diff != "" {
		t.Errorf("instance information (-want +got):\n%s", diff)
	}
	wantNetwork := []inventory.Entry{
		{
			{Name: "IPV4", Value: "192.0.2.9"},
			{Name: "IPV6"},
			{Name: "MacAddress", Value: "02:00:00:00:00:09"},
			{Name: "Name", Value: "down0"},
		},
		{
			{Name: "IPV4", Value: "10.0.0.5"},
			{Name: "IPV6", Value: "fe80::1"},
			{Name: "MacAddress", Value: "02:00:00:00:00:01"},
			{Name: "Name", Value: "eth0"},
		},
	}
	if diff := cmp.Diff(wantNetwork, itemOf(t, report, typeNetwork).Content); diff != "" {
		t.Errorf("network (-want +got):\n%s", diff)
	}
	if kernel, _ := itemOf(t, report, typeProcessor).Content[0].Get("KernelVersion"); kernel != "6.1.0-18-amd64" {
		t.Errorf("kernel version %q", kernel)
	}
}

func TestGatherMergesManagers(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.says("dpkg-query", record("zsh", "p", "1", "shells", "amd64", "", "z")+record("snapd", "p", "2", "devel", "amd64", "", "s"))
	r.says("rpm", record("Amazon-SSM-Agent", "Amazon", "3", "1", none, "0", "g", "x86_64", "u", "s", "src"))
	r.says("snap", "Name Version Rev Tracking Publisher Notes\nlxd 5 1 stable canonical -\n")
	report := r.gather(t, Options{})
	var got []string
	for _, entry := range itemOf(t, report, typeApplication).Content {
		name, _ := entry.Get("Name")
		got = append(got, name)
	}
	if diff := cmp.Diff([]string{"Amazon-SSM-Agent", "lxd", "snapd", "zsh"}, got); diff != "" {
		t.Errorf("applications (-want +got):\n%s", diff)
	}
	if n := len(itemOf(t, report, typeComponent).Content); n != 1 {
		t.Errorf("%d components, want 1", n)
	}
}

func TestGatherLeavesOutFailedSource(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.says("dpkg-query", record("zsh", "p", "1", "shells", "amd64", "", "z"))
	r.fails("rpm")
	r.fails("lscpu")
	report := r.gather(t, Options{})
	want := []string{
		"AWS:Network 1.0 2", "AWS:InstanceInformation 1.0 1",
		"problem: AWS:InstanceDetailedInformation: lscpu failed: lock held",
		"problem: AWS:Application: rpm failed: lock held",
	}
	if diff := cmp.Diff(want, shape(report)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// The hash is over the stock agent's field order and its escapes, the content by attribute name; the text is written out
// here by the rules of the protocol, not by the code under test.
func TestContentHashFieldOrder(t *testing.T) {
	t.Parallel()
	item, err := newItem(typeApplication, "1.1", "x", []application{{Name: "a<b", Version: "1", Publisher: "P&Q", Release: "2", PackageId: "z"}})
	if err != nil {
		t.Fatal(err)
	}
	text := `[{"Name":"a\u003cb","Publisher":"P\u0026Q","Version":"1","Release":"2","Architecture":"","PackageId":"z"}]`
	if want := contentHash([]byte(text)); item.ContentHash != want {
		t.Errorf("hash %s, want %s", item.ContentHash, want)
	}
	wire, err := Marshal([]inventory.Item{item})
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"x","ContentHash":"` + item.ContentHash +
		`","Content":[{"Architecture":"","Name":"a\u003cb","PackageId":"z","Publisher":"P\u0026Q","Release":"2","Version":"1"}]}]`
	if diff := cmp.Diff(want, string(wire)); diff != "" {
		t.Errorf("wire (-want +got):\n%s", diff)
	}
	if item.Bytes != len(want)-2 {
		t.Errorf("%d bytes, want %d", item.Bytes, len(want)-2)
	}
}

func TestGatherRefusesLargeItem(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	rows := strings.Repeat(`{"V":"`+strings.Repeat("x", maxCustomValue)+`"},`, 800)
	r.write(t, "/custom/big.json", `{"TypeName":"Custom:Big","SchemaVersion":"1.0","Content":[`+strings.TrimSuffix(rows, ",")+`]}`)
	_, err := r.Gather(t.Context(), Options{CustomDir: r.path("/custom")})
	if err == nil || !strings.Contains(err.Error(), "Custom:Big is 32") {
		t.Errorf("error %v", err)
	}
}

func TestGatherRefusesLargeReport(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	rows := strings.Repeat(`{"V":"`+strings.Repeat("x", maxCustomValue)+`"},`, 700)
	for i := range 4 {
		r.write(t, "/custom/"+strconv.Itoa(i)+".json",
			`{"TypeName":"Custom:Big`+strconv.Itoa(i)+`","SchemaVersion":"1.0","Content":[`+strings.TrimSuffix(rows, ",")+`]}`)
	}
	_, err := r.Gather(t.Context(), Options{CustomDir: r.path("/custom")})
	if err == nil || !strings.Contains(err.Error(), "a report may be 10240 KiB") {
		t.Errorf("error %v", err)
	}
}

// This machine's own packages are found, and the content is what a second run hashes alike.
func TestGatherThisMachine(t *testing.T) {
	t.Parallel()
	gather := func() Report {
		report, err := Local().Gather(t.Context(), Options{Node: testNode, AgentVersion: "test"})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range report.Problems {
			t.Errorf("problem: %v", p)
		}
		return report
	}
	first, second := gather(), gather()
	for i, item := range first.Items {
		if second.Items[i].ContentHash != item.ContentHash && item.Type != typeProcessor {
			t.Errorf("%s hashes %s, then %s", item.Type, item.ContentHash, second.Items[i].ContentHash)
		}
	}
	timed := 0
	applications := itemOf(t, first, typeApplication).Content
	for _, entry := range applications {
		if name, _ := entry.Get("Name"); name == "" {
			t.Errorf("an application without a name: %v", entry)
		}
		if at, _ := entry.Get("InstalledTime"); at != "" {
			timed++
		}
	}
	if len(applications) < 50 || timed*10 < len(applications)*9 {
		t.Errorf("%d applications, %d with a time of installation: tests need a machine with dpkg", len(applications), timed)
	}
}

func TestRunCommand(t *testing.T) {
	t.Parallel()
	out, err := runCommand(t.Context(), "sh", "-c", "printf '%s' $LC_ALL; echo noise >&2")
	if err != nil || string(out) != "C" {
		t.Errorf("output %q, error %v", out, err)
	}
	_, err = runCommand(t.Context(), "sh", "-c", "echo cannot read the lock >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "cannot read the lock") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("failed command: %v", err)
	}
	if _, err = runCommand(t.Context(), "no-such-command-anywhere"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("missing command: %v", err)
	}
	_, err = runCommand(t.Context(), "head", "-c", strconv.Itoa(maxCommandOutput+1), "/dev/zero")
	if err == nil {
		t.Error("output without bound was kept")
	}
}

// TestEndlessCommandLeavesNothing: the command ends though its child keeps the pipe open, and the child with it.
func TestEndlessCommandLeavesNothing(t *testing.T) {
	t.Parallel()
	said := filepath.Join(t.TempDir(), "child")
	_, err := runWithin(t.Context(), 500*time.Millisecond, "sh", "-c", `sleep 600 & echo $! >"$0"; wait`, said)
	if err == nil || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("endless command: %v", err)
	}
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d goes on", child)
}
