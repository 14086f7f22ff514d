package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
)

// fakeService keeps what it was sent and refuses what the service refuses.
type fakeService struct {
	calls   []string
	stored  map[inventory.TypeName]inventory.Item
	answers []error // taken before anything else, one a call
	listErr error
}

type codedError string

func (e codedError) Error() string     { return "refused: " + string(e) }
func (e codedError) ErrorCode() string { return string(e) }

func (f *fakeService) PutInventory(_ context.Context, _ inventory.NodeID, items []inventory.Item) error {
	var line []string
	for _, item := range items {
		what := "hash"
		if item.HasContent {
			what = fmt.Sprintf("%d entries", len(item.Content))
		}
		line = append(line, strings.TrimPrefix(string(item.Type), "AWS:")+" "+what)
	}
	f.calls = append(f.calls, strings.Join(line, ", "))
	if len(f.answers) > 0 {
		answer := f.answers[0]
		f.answers = f.answers[1:]
		if answer != nil {
			return answer
		}
	}
	for _, item := range items {
		if !item.HasContent && f.stored[item.Type].ContentHash != item.ContentHash {
			return fmt.Errorf("call: %w", codedError("ItemContentMismatchException"))
		}
	}
	for _, item := range items {
		if item.HasContent {
			f.stored[item.Type] = item
		}
	}
	return nil
}

func (f *fakeService) Entries(_ context.Context, _ inventory.NodeID, t inventory.TypeName) ([]inventory.Entry, error) {
	return f.stored[t].Content, f.listErr
}

func newSender(t *testing.T) (*Sender, *fakeService) {
	t.Helper()
	service := &fakeService{stored: make(map[inventory.TypeName]inventory.Item)}
	return &Sender{Service: service, Endpoint: "http://127.0.0.1:7540", StateDir: filepath.Join(t.TempDir(), "a", "b")}, service
}

func testItems(t *testing.T, name, mac, version string) []inventory.Item {
	t.Helper()
	var items []inventory.Item
	add := func(item inventory.Item, err error) {
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	add(newItem(inventory.TypeInstanceInformation, "1.0", "now", []platform{{ComputerName: name}}))
	add(newItem(typeNetwork, "1.0", "now", []network{{Name: "eth0", MacAddress: mac}}))
	add(newItem(typeApplication, "1.1", "now", []application{{Name: "bash", Version: version}}))
	return items
}

func send(t *testing.T, s *Sender, items []inventory.Item) Sent {
	t.Helper()
	sent, err := s.Send(t.Context(), testNode, items)
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

const (
	allFull = "InstanceInformation 1 entries, Network 1 entries, Application 1 entries"
	allHash = "InstanceInformation hash, Network hash, Application hash"
)

func TestSendUnchangedIsHashOnly(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	first := send(t, s, testItems(t, "web1", "aa:01", "1"))
	second := send(t, s, testItems(t, "web1", "aa:01", "1"))
	third := send(t, s, testItems(t, "web1", "aa:01", "2"))
	want := []string{allFull, allHash, "InstanceInformation hash, Network hash, Application 1 entries"}
	if diff := cmp.Diff(want, service.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Sent{{Full: 3}, {HashOnly: 3}, {Full: 1, HashOnly: 2}}, []Sent{first, second, third}); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestSendAgainInFull(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"ItemContentMismatchException", "InvalidItemContentException"} {
		s, service := newSender(t)
		send(t, s, testItems(t, "web1", "aa:01", "1"))
		service.answers = []error{codedError(code)}
		sent := send(t, s, testItems(t, "web1", "aa:01", "1"))
		if diff := cmp.Diff([]string{allFull, allHash, allFull}, service.calls); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", code, diff)
		}
		if diff := cmp.Diff(Sent{Full: 3, Again: true}, sent); diff != "" {
			t.Errorf("%s: sent (-want +got):\n%s", code, diff)
		}
	}
}

func TestSendAgainOnce(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	send(t, s, testItems(t, "web1", "aa:01", "1"))
	refusal := codedError("InvalidItemContentException")
	service.answers = []error{refusal, refusal, refusal}
	_, err := s.Send(t.Context(), testNode, testItems(t, "web1", "aa:01", "1"))
	if !errors.Is(err, refusal) || len(service.calls) != 3 {
		t.Errorf("error %v after %q", err, service.calls)
	}
	// What was in full already is not sent a second time.
	_, err = s.Send(t.Context(), testNode, testItems(t, "web2", "aa:01", "9")[2:])
	if !errors.Is(err, refusal) || len(service.calls) != 4 {
		t.Errorf("error %v after %q", err, service.calls)
	}
}

func TestSendOtherErrorKeepsState(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	send(t, s, testItems(t, "web1", "aa:01", "1"))
	path := statePath(s.StateDir, testNode, s.Endpoint)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, answer := range []error{codedError("InvalidInstanceId"), errors.New("connection refused")} {
		service.answers = []error{answer}
		calls := len(service.calls)
		if _, err := s.Send(t.Context(), testNode, testItems(t, "web1", "aa:01", "2")); !errors.Is(err, answer) {
			t.Errorf("error %v, want %v", err, answer)
		}
		if len(service.calls) != calls+1 {
			t.Errorf("%v: sent again: %q", answer, service.calls)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || string(before) != string(after) {
		t.Errorf("state was %s, is %s (%v)", before, after, err)
	}
}

func TestSendLargeFilesApart(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	rows := make([]fileRow, maxFiles)
	for i := range rows {
		rows[i] = fileRow{Name: strings.Repeat("n", 2200)}
	}
	file, err := newItem(typeFile, "1.0", "now", rows)
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, append(testItems(t, "web1", "aa:01", "1"), file))
	send(t, s, append(testItems(t, "web1", "aa:01", "1"), file))
	want := []string{"File 500 entries", allFull, allHash + ", File hash"}
	if diff := cmp.Diff(want, service.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestSendWarnsOfAnotherMachine(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	if sent := send(t, s, testItems(t, "web1", "aa:01", "1")); len(sent.Warnings) != 0 {
		t.Errorf("a new node warned: %q", sent.Warnings)
	}
	other := &Sender{Service: service, Endpoint: s.Endpoint, StateDir: t.TempDir()}
	sent := send(t, other, testItems(t, "web2", "bb:01", "1"))
	if len(sent.Warnings) != 1 || !strings.Contains(sent.Warnings[0], "another machine seems to report as "+string(testNode)) {
		t.Errorf("the second machine: %q", sent.Warnings)
	}
	if sent := send(t, s, testItems(t, "web1", "aa:01", "1")); len(sent.Warnings) != 1 || !sent.Again {
		t.Errorf("the first machine after it: %+v", sent)
	}
	service.listErr = codedError("AccessDeniedException")
	if sent := send(t, other, testItems(t, "web2", "bb:01", "1")); len(sent.Warnings) != 0 {
		t.Errorf("a key that may not list: %q", sent.Warnings)
	}
}

func TestSendRefusesBadNode(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	if _, err := s.Send(t.Context(), "../../etc/passwd", testItems(t, "web1", "aa:01", "1")); err == nil || len(service.calls) != 0 {
		t.Errorf("error %v, calls %q", err, service.calls)
	}
}

func TestStateOfEndpoints(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	send(t, s, testItems(t, "web1", "aa:01", "1"))
	info, err := os.Stat(statePath(s.StateDir, testNode, s.Endpoint))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("state %v, %v; want mode 0600", info, err)
	}
	s.Endpoint = "https://elsewhere"
	send(t, s, testItems(t, "web1", "aa:01", "1"))
	if diff := cmp.Diff([]string{allFull, allFull}, service.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestStateDamaged(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	send(t, s, testItems(t, "web1", "aa:01", "1"))
	if err := os.WriteFile(statePath(s.StateDir, testNode, s.Endpoint), []byte(`{"Node":`), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := send(t, s, testItems(t, "web1", "aa:01", "1"))
	if len(sent.Warnings) != 1 || !strings.Contains(sent.Warnings[0], "is damaged") || sent.Full != 3 {
		t.Errorf("sent %+v", sent)
	}
	if sent := send(t, s, testItems(t, "web1", "aa:01", "1")); sent.HashOnly != 3 || len(sent.Warnings) != 0 {
		t.Errorf("afterwards %+v; calls %q", sent, service.calls)
	}
}

// A folder that cannot be made costs the memory, not the report.
func TestStateUnwritable(t *testing.T) {
	t.Parallel()
	s, service := newSender(t)
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.StateDir = filepath.Join(blocked, "state")
	sent := send(t, s, testItems(t, "web1", "aa:01", "1"))
	if len(service.calls) != 1 || len(sent.Warnings) == 0 || !strings.Contains(sent.Warnings[len(sent.Warnings)-1], "the report was taken") {
		t.Errorf("sent %+v, calls %q", sent, service.calls)
	}
}

func TestStateDir(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		uid             int
		xdg, home, want string
	}{
		{0, "/x", "/root", "/var/lib/stocktake/collect"},
		{1000, "/x", "/home/a", "/x/stocktake/collect"},
		{1000, "relative", "/home/a", "/home/a/.local/state/stocktake/collect"},
		{1000, "", "", ""},
	} {
		env := map[string]string{"XDG_STATE_HOME": c.xdg, "HOME": c.home}
		got, err := StateDir(c.uid, func(name string) string { return env[name] })
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}
