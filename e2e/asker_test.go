package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// floods gives tests of too much the figures they are to reach, instead of a tenth and less of them.
var floods = flag.Bool("floods", false, "run the tests of floods, memory and overload in full")

// anyRate lets a test ask as often as it likes from one address with one key.
var anyRate = []string{"--rate-source", "0", "--rate-account", "0", "--rate-key", "0", "--rate-node", "0", "--rate-failures", "0"}

// scaled gives a figure in full, or a short form's.
func scaled[T any](full, short T) T {
	if *floods {
		return full
	}
	return short
}

// signed gives the bytes of a request as they go over the wire, good for five minutes and any number of times.
func (s *service) signed(t testing.TB, action, region string, body []byte, headers ...string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonSSM."+action)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), s.key, r, hex.EncodeToString(sum[:]), "ssm", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// address is where the service answers, as host:port.
func (s *service) address() string { return strings.TrimPrefix(s.endpoint, "http://") }

// asker asks on a connection that it keeps, and opens anew when it is cut.
type asker struct {
	address string
	conn    net.Conn
	in      *bufio.Reader
}

func (a *asker) close() {
	if a.conn != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
}

// ask sends a request and gives the status and the body of its answer.
func (a *asker) ask(request []byte) (int, string, error) {
	if a.conn == nil {
		c, err := net.DialTimeout("tcp", a.address, patience)
		if err != nil {
			return 0, "", err
		}
		a.conn, a.in = c, bufio.NewReader(c)
	}
	status, body, err := a.exchange(request)
	if err != nil {
		a.close()
	}
	return status, body, err
}

func (a *asker) exchange(request []byte) (int, string, error) {
	if err := a.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, "", err
	}
	if _, err := a.conn.Write(request); err != nil {
		return 0, "", err
	}
	var status, length int
	last := false
	for n := 0; ; n++ {
		line, err := a.in.ReadSlice('\n')
		if err != nil {
			return 0, "", err
		}
		text := string(bytes.TrimRight(line, "\r\n"))
		if text == "" {
			break
		}
		name, value, _ := strings.Cut(text, ": ")
		switch {
		case n == 0 && len(text) >= 12:
			status, _ = strconv.Atoi(text[9:12])
		case strings.EqualFold(name, "Content-Length"):
			length, _ = strconv.Atoi(value)
		case strings.EqualFold(name, "Connection") && value == "close":
			last = true
		}
	}
	body := make([]byte, length)
	_, err := io.ReadFull(a.in, body)
	if last {
		a.close()
	}
	return status, string(body), err
}

// outcome is what became of many requests.
type outcome struct {
	mu      sync.Mutex
	took    []time.Duration // of those answered with 200
	refused []time.Duration // of those answered with "Rate exceeded"
	failed  int
	fault   string // one of those that failed
}

func (o *outcome) note(status int, body string, err error, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil && status == http.StatusOK:
		o.took = append(o.took, took)
	case err == nil && status == http.StatusBadRequest && strings.Contains(body, "Rate exceeded"):
		o.refused = append(o.refused, took)
	default:
		o.failed++
		o.fault = fmt.Sprint(status, body, err)
	}
}

func (o *outcome) asked() int { return len(o.took) + len(o.refused) + o.failed }

func (o *outcome) String() string {
	return fmt.Sprintf("%d answered (p50 %v, p99 %v), %d refused (p50 %v, p99 %v), %d failed %s", len(o.took), percentile(o.took, 50),
		percentile(o.took, 99), len(o.refused), percentile(o.refused, 50), percentile(o.refused, 99), o.failed, o.fault)
}

func percentile(of []time.Duration, p int) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Clone(of)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, len(sorted)*p/100)].Round(10 * time.Microsecond)
}

// offer asks at a rate, whatever becomes of it, for a time; rate 0 asks again as soon as answers are there. Requests are
// taken in turn. What is sent in the time to skip, before that, does not count.
func offer(address string, askers int, rate float64, skip, lasts time.Duration, request func(i int64) []byte) *outcome {
	o := &outcome{}
	var next atomic.Int64
	began := time.Now()
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			a := &asker{address: address}
			defer a.close()
			for {
				i := next.Add(1) - 1
				if rate > 0 {
					due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
					if due.Sub(began) > skip+lasts {
						return
					}
					time.Sleep(time.Until(due))
				}
				sent := time.Now()
				if sent.Sub(began) > skip+lasts {
					return
				}
				status, body, err := a.ask(request(i))
				if sent.Sub(began) >= skip || err != nil {
					o.note(status, body, err, time.Since(sent))
				}
			}
		})
	}
	asking.Wait()
	return o
}

// peak gives the most memory, in MiB, that the process of a service ever had; reset forgets what was before.
func (s *service) peak(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest + " 0")[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}

func (s *service) resetPeak(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.process.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}
