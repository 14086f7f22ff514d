//go:build clock

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// jumps is how long the clock jumps under load: longer than a poll for messages is held.
const jumps = 18 * time.Second

// counter reports the next number of a node again and again.
type counter struct {
	node         string
	tried, acked int
	refused      int // signed by the time before a jump
}

// count goes on until the context is done. All that may happen to a report besides is that the clock jumped since it was signed.
func (c *counter) count(ctx context.Context, l *liar) error {
	for ctx.Err() == nil {
		c.tried++
		a, err := l.signedAt(context.Background(), l.now(), l.root(), "PutInventory", valued(c.node, strconv.Itoa(c.tried)))
		switch {
		case err != nil:
			return err
		case a.status == http.StatusOK:
			c.acked = c.tried
		case a.code == "InvalidSignatureException" && (strings.HasPrefix(a.text, "Signature expired") || strings.HasPrefix(a.text, "Signature not yet current")):
			c.refused++
		default:
			return fmt.Errorf("%+v", a)
		}
	}
	return nil
}

// TestClockJumpsUnderLoad has the clock jump by hours, several times a second, under writers, questions, polls for messages,
// a report that is half sent and a deletion: nothing is lost, nothing cut, and what waits waits for as long as it should.
func TestClockJumpsUnderLoad(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	l := startLiar(t, embedded(dir, anyRate...), 0)
	put(t, l.client(clockRegion), "i-0000000000000d00d", "Custom:Doomed", "1.0", map[string]string{"Row": "a"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	counters := make([]*counter, 4)
	var running sync.WaitGroup
	for i := range counters {
		counters[i] = &counter{node: fmt.Sprintf("i-%017d", i)}
		running.Go(func() {
			if err := counters[i].count(ctx, l); err != nil {
				t.Errorf("%s: %v", counters[i].node, err)
			}
		})
	}
	var asked atomic.Int64
	running.Go(func() { asked.Store(l.asksOn(ctx, t)) })
	for n := range 3 {
		running.Go(func() { l.pollLasts(t, fmt.Sprintf("i-%017d", 100+n)) })
	}
	finish := l.halfSent(t)
	deletion := l.does(t, "DeleteInventory", map[string]any{"TypeName": "Custom:Doomed"})["DeletionId"]
	time.Sleep(200 * time.Millisecond) // in which the polls begin
	turns := 0
	for began := time.Now(); time.Since(began) < jumps; turns++ {
		l.set(t, time.Duration(random.IntN(5)-2)*time.Hour)
		if turns == 2 {
			if err := finish(); err != nil {
				t.Errorf("a report that was half sent when the clock jumped: %v", err)
			}
		}
		time.Sleep(time.Duration(100+random.IntN(400)) * time.Millisecond)
	}
	cancel()
	running.Wait()
	l.completesDeletion(t, deletion)
	l.kill()
	l.readBack(t, startLiar(t, embedded(dir, anyRate...), -time.Hour), counters)
	t.Logf("%d jumps, %d answers to questions", turns, asked.Load())
}

// readBack holds what a service that was started again has to what was acknowledged.
func (l *liar) readBack(t *testing.T, again *liar, counters []*counter) {
	t.Helper()
	acked, refused := 0, 0
	for _, c := range counters {
		n, err := strconv.Atoi(again.value(t, c.node))
		if err != nil || n < c.acked || n > c.tried || c.acked == 0 {
			t.Errorf("%s has %d (%v), acknowledged up to %d of %d", c.node, n, err, c.acked, c.tried)
		}
		again.holdsValue(t, c.node, strconv.Itoa(n))
		acked, refused = acked+c.acked-c.refused, refused+c.refused
	}
	t.Logf("%d acknowledged reports, none lost; %d were signed before a jump and refused", acked, refused)
	if err := again.stop(); err != nil {
		t.Error(err)
	}
	if out := printed(t, "audit", "verify", "--data", l.dir); !strings.Contains(out, "all lines are as they were written") {
		t.Error(out)
	}
}

// asksOn asks questions until the context is done.
func (l *liar) asksOn(ctx context.Context, t *testing.T) (answered int64) {
	for ctx.Err() == nil {
		a, err := l.signedAt(context.Background(), l.now(), l.root(), "GetInventory", map[string]any{"MaxResults": 2})
		switch {
		case err != nil || a.status != http.StatusOK && a.code != "InvalidSignatureException":
			t.Errorf("a question: %+v, %v", a, err)
			return answered
		case a.status == http.StatusOK:
			answered++
		}
	}
	return answered
}

// pollLasts polls for messages, which is answered after 14 to 15 seconds whatever the clock does.
func (l *liar) pollLasts(t *testing.T, node string) {
	began := time.Now()
	got := l.poll(t, node)
	if took := time.Since(began); !strings.Contains(got, `"Messages":[]`) || took < 13*time.Second || took > 20*time.Second {
		t.Errorf("a poll while the clock jumped was answered after %v: %s", took, got)
	}
}

// TestClockJumpsFillNoBucket spends what a node may ask for at once, and sets the clock: there is no more after an hour that
// did not pass, and no less after one that came back.
func TestClockJumpsFillNoBucket(t *testing.T) {
	l := startLiar(t, embedded(t.TempDir(), "--rate-node", "1"), 0)
	spend := func() (taken int) {
		for taken < 500 {
			a := l.as(t, l.root(), "PutInventory", valued("i-00000000000000001", strconv.Itoa(taken)))
			if a.code == "ThrottlingException" {
				return taken
			}
			if taken++; a.status != http.StatusOK {
				t.Fatalf("%+v", a)
			}
		}
		return taken
	}
	if n := spend(); n < 60 || n > 120 {
		t.Errorf("a burst of %d was taken, of 60", n)
	}
	for _, off := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, 0} {
		l.set(t, off)
		if n := spend(); n > 10 {
			t.Errorf("%d more were taken with the clock %v off", n, off)
		}
		eventually(t, "another token comes in", 10*time.Second, func() error {
			if spend() == 0 {
				return errors.New("refused")
			}
			return nil
		})
	}
}

// TestClockAYearAhead sets the clock a year ahead and back: nothing is dropped for its age, by command either, and TLS goes
// on.
func TestClockAYearAhead(t *testing.T) {
	dir := t.TempDir()
	l := startLiar(t, embedded(dir), 0)
	for n := range 5 {
		l.sets(t, fmt.Sprintf("i-%017d", n), fmt.Sprint(n))
	}
	for _, off := range []time.Duration{365 * 24 * time.Hour, 0, 366 * 24 * time.Hour, -time.Hour} {
		l.set(t, off)
		if got := l.does(t, "Stocktake.RunRetention", map[string]any{}); got["DroppedCount"] != 0.0 || got["DocumentCount"] == 0.0 {
			t.Errorf("retention with the clock %v off: %v", off, got)
		}
		for n := range 5 {
			l.holdsValue(t, fmt.Sprintf("i-%017d", n), fmt.Sprint(n))
		}
	}
	if log := l.log.String(); !strings.Contains(log, "nothing is dropped for its age") || !strings.Contains(log, "the clock went back") {
		t.Errorf("the log does not tell of the clock:\n%s", log)
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	l = startLiar(t, embedded(dir, "--tls-self-signed"), 0)
	text, err := os.ReadFile(filepath.Join(dir, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(text)
	for _, off := range []time.Duration{0, 365 * 24 * time.Hour, -time.Hour / 2, 0} {
		l.set(t, off)
		d := tls.Dialer{Config: &tls.Config{RootCAs: trusted, Time: l.now}}
		c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(l.endpoint, "https://"))
		if err != nil {
			t.Errorf("TLS with the clock %v off: %v", off, err)
			continue
		}
		_ = c.Close()
	}
}
