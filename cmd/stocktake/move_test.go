package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/pgtest"
	"stocktake/internal/sigv4"
	"stocktake/internal/simulate"
)

// The root key of the tests' services, and their region.
const (
	movedKey    = "AKIAMOVED"
	movedSecret = "moved-moved-moved-moved"
	movedRegion = "eu-central-1"
)

var movedEnv = []string{"STOCKTAKE_ROOT_ACCESS_KEY_ID=" + movedKey, "STOCKTAKE_ROOT_SECRET_ACCESS_KEY=" + movedSecret}

// running is `stocktake serve`.
type running struct {
	url  string
	stop func()
}

// runner runs a command line until its end, or that of ctx, and gives its exit code.
type runner func(ctx context.Context, args []string, stdout, stderr io.Writer) int

// here runs command lines in this process.
func here(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return run(ctx, args, movedEnv, stdout, stderr)
}

// apart runs command lines as a person does, by the program without the race detector.
func apart(t *testing.T) runner {
	t.Helper()
	path := builtProgram(t)
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = movedEnv, stdout, stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		if err := cmd.Run(); cmd.ProcessState == nil {
			_, _ = fmt.Fprintln(stderr, err) // the exit code tells
			return -1
		}
		return cmd.ProcessState.ExitCode()
	}
}

// serveHere runs the command with these arguments in this process until stop is called.
func serveHere(t *testing.T, args ...string) *running {
	t.Helper()
	return serveBy(t, here, args...)
}

func serveBy(t *testing.T, by runner, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	said, says := io.Pipe()
	var log lockedText
	ended := make(chan int, 1)
	go func() {
		code := by(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-level", "warn"}, args...), says, &log)
		_ = says.Close() // never fails
		ended <- code
	}()
	urls := make(chan string, 1)
	go func() {
		_, _ = io.Copy(lineWriter(func(line string) {
			if url, ok := strings.CutPrefix(line, "api: "); ok {
				urls <- url
			}
		}), said) // ends with the command
	}()
	s := &running{stop: sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("serve %v ended with exit code %d:\n%s", args, code, log.String())
		}
	})}
	t.Cleanup(s.stop)
	select {
	case s.url = <-urls:
	case code := <-ended:
		ended <- code
		t.Fatalf("serve %v ended at once:\n%s", args, log.String())
	case <-time.After(time.Minute):
		t.Fatalf("serve %v said nothing:\n%s", args, log.String())
	}
	return s
}

// lineWriter hands on whole lines.
type lineWriter func(line string)

func (w lineWriter) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		w(strings.TrimSpace(line))
	}
	return len(text), nil
}

// lockedText is a buffer for two goroutines.
type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(text)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// do sends one request and gives the answer as it came.
func (s *running) do(t *testing.T, target, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if !strings.Contains(target, ".") {
		target = "AmazonSSM." + target
	}
	r.Header.Set("X-Amz-Target", target)
	key := sigv4.Credentials{AccessKeyID: movedKey, SecretAccessKey: movedSecret}
	if err := sigv4.Sign(r, sha256.Sum256([]byte(body)), key, movedRegion, "ssm", time.Now()); err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func (s *running) must(t *testing.T, target, body string) string {
	t.Helper()
	status, answer := s.do(t, target, body)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", target, status, answer)
	}
	return answer
}

// fill reports a fleet in two rounds with oddities, terminates and registers nodes, and deletes a type.
func (s *running) fill(t *testing.T, fleet *simulate.Fleet) {
	t.Helper()
	var reporting sync.WaitGroup
	for worker := range 4 {
		reporting.Go(func() {
			for n := worker; n < fleet.Len(); n += 4 {
				for round := range 2 {
					s.must(t, "PutInventory", string(fleet.Slim(n, round).AppendPutInventory(nil)))
				}
				s.must(t, "PutInventory", fmt.Sprintf(`{"InstanceId":%q,"Items":%s}`, fleet.ID(n), oddItems(n)))
			}
		})
	}
	reporting.Wait()
	s.must(t, "Stocktake.TerminateNode", fmt.Sprintf(`{"NodeId":%q}`, fleet.ID(3)))
	s.must(t, "Stocktake.RemoveNode", fmt.Sprintf(`{"NodeId":%q}`, fleet.ID(4)))
	s.must(t, "Stocktake.RegisterNode", `{"NodeId":"mi-00000000000000001"}`)
	s.must(t, "DeleteInventory", `{"TypeName":"Custom:Gone","SchemaDeleteOption":"DisableSchema"}`)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		answer := s.must(t, "DescribeInventoryDeletions", `{}`)
		if strings.Contains(answer, `"Complete"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the deletion does not end: %s", answer)
		}
	}
}

var pageToken = regexp.MustCompile(`"NextToken":"[^"]*"`)

// answers asks everything of the list, every page of it, and gives the bodies with the tokens, which are sealed with
// random bytes, left out.
func (s *running) answers(t *testing.T, list []asked) map[asked]string {
	t.Helper()
	all := make(map[asked]string, len(list))
	for _, q := range list {
		status, body := s.do(t, q.action, q.body)
		pages := fmt.Sprintf("%d %s\n", status, pageToken.ReplaceAllString(body, `"NextToken":"..."`))
		for page := nextPage(t, q.body, body); page != ""; page = nextPage(t, q.body, body) {
			status, body = s.do(t, q.action, page)
			pages += fmt.Sprintf("%d %s\n", status, pageToken.ReplaceAllString(body, `"NextToken":"..."`))
		}
		all[q] = pages
	}
	return all
}

// nextPage gives the question for the page after an answer, empty after the last.
func nextPage(t *testing.T, question, answer string) string {
	t.Helper()
	var page struct{ NextToken string }
	if err := json.Unmarshal([]byte(answer), &page); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	if page.NextToken == "" {
		return ""
	}
	var q map[string]any
	if err := json.Unmarshal([]byte(question), &q); err != nil {
		t.Fatal(err)
	}
	q["NextToken"] = page.NextToken
	next, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	return string(next)
}

// copyBy runs the copy command.
func copyBy(t *testing.T, by runner, from, to string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := by(t.Context(), []string{"copy", "--from", from, "--to", to}, &stdout, &stderr); code != 0 {
		t.Fatalf("copy from %s to %s: exit code %d\n%s", shownStore(from), shownStore(to), code, stderr.String())
	}
	t.Log(stdout.String())
}

var movedNodes = flag.Int("moved", 60, "nodes of the store that moves, 52 at the least")

// A store that moved into a database and back answers every question as it did before, byte for byte.
func TestMovedStoreAnswersTheSame(t *testing.T) {
	t.Parallel()
	by := apart(t)
	fleet := simulate.New(11, *movedNodes)
	first, second, database := t.TempDir(), filepath.Join(t.TempDir(), "back"), pgtest.Database(t)
	nodes := []string{string(fleet.ID(0)), string(fleet.ID(3)), string(fleet.ID(12)), string(fleet.ID(51))}
	list := askedOf(nodes)
	s := serveBy(t, by, "--data", first)
	s.fill(t, fleet)
	before := s.answers(t, list)
	s.stop()
	judgeList(t, before)
	for _, move := range [][2]string{{first, database}, {database, second}} {
		copyBy(t, by, move[0], move[1])
		args := []string{"--data", move[1]}
		if isDatabase(move[1]) {
			args = []string{"--database-url", move[1]}
		}
		moved := serveBy(t, by, args...)
		after := moved.answers(t, list)
		moved.stop()
		for _, q := range list {
			if d := cmp.Diff(before[q], after[q]); d != "" {
				t.Errorf("%s %s from %s (-before +after):\n%s", q.action, q.body, shownStore(move[1]), d)
			}
		}
	}
}

// judgeList holds the list to what makes it worth asking: different questions, most of them answered, many with pages.
func judgeList(t *testing.T, answers map[asked]string) {
	t.Helper()
	answered, refused, paged := 0, 0, 0
	for _, a := range answers {
		if strings.HasPrefix(a, "200 ") {
			answered++
		} else {
			refused++
		}
		if strings.Count(a, "\n") > 1 {
			paged++
		}
		if strings.Contains(a, "InternalServerError") {
			t.Errorf("an answer is %s", a)
		}
	}
	t.Logf("%d questions: %d answered, %d refused, %d of several pages", len(answers), answered, refused, paged)
	if len(answers) < 100 || answered < 80 || refused < 15 || paged < 25 {
		t.Errorf("the list has become too poor")
	}
}
