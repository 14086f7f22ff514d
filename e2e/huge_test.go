package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const bodyLimit = 16 << 20

// repeated gives text often enough for so many bytes.
func repeated(text string, size int) string { return strings.Repeat(text, size/len(text)) }

// TestHugeRequestsAreRefusedSoon sends what is deep, long or packed beyond all measure, signed as it should be.
func TestHugeRequestsAreRefusedSoon(t *testing.T) {
	s := start(t, t.TempDir(), anyRate...)
	stop := s.goodClients(t)
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(bytes.Repeat([]byte(" "), scaled(100<<20, 1<<20))); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	full := scaled(bodyLimit-1024, 1<<20) // the largest bodies that are read
	deep := 200_000
	for _, c := range []struct {
		name, action, body string
		headers            []string
	}{
		{name: "arrays in arrays", action: "GetInventory", body: strings.Repeat("[", deep) + strings.Repeat("]", deep)},
		{name: "arrays that never end", action: "GetInventory", body: strings.Repeat("[", full)},
		{name: "objects in objects", action: "GetInventory", body: strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep)},
		{name: "depth in a member that is known", action: "PutInventory", body: `{"Items":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + "}"},
		{name: "depth in a member that is not", action: "PutInventory", body: `{"InstanceId":"i-0123456789abcdef0","x":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + "}"},
		{name: "100 MiB", action: "PutInventory", body: repeated(" ", scaled(100<<20, bodyLimit+1))},
		{name: "10 M keys", action: "PutInventory", body: `{"a":1` + strings.Repeat(`,"a":1`, scaled(10_000_000, 3_000_000)) + "}"},
		{name: "as many keys as are read", action: "PutInventory", body: `{"a":1` + repeated(`,"a":1`, full) + "}"},
		{name: "as many keys of one entry", action: "PutInventory", body: strings.TrimSuffix(goodReport, "}]}]}") + repeated(`,"a":"b"`, full) + "}]}]}"},
		{name: "as many items", action: "PutInventory", body: `{"InstanceId":"i-0123456789abcdef0","Items":[{}` + repeated(",{}", full) + "]}"},
		{name: "as many filters", action: "GetInventory", body: `{"Filters":[{}` + repeated(",{}", full) + "]}"},
		{name: "one long text", action: "GetInventory", body: `{"NextToken":"` + repeated("x", full) + `"}`},
		{name: "one long number", action: "GetInventory", body: `{"MaxResults":` + repeated("9", full) + `}`},
		{name: "escapes", action: "GetInventory", body: `{"NextToken":"` + repeated(`\ud83d\ude00`, full) + `"}`},
		{name: "aggregators in aggregators", action: "GetInventory", body: "{" +
			strings.Repeat(`"Aggregators":[{"Expression":"AWS:Application.Name",`, 400) + `"x":1` + strings.Repeat("}]", 400) + "}"},
		{name: "packed, a thousand to one", action: "PutInventory", body: packed.String(), headers: []string{"Content-Encoding", "gzip"}},
		{name: "a large entity of XML", action: "PutInventory", body: repeated("<!ENTITY a 'b'>", full), headers: []string{"Content-Type", "text/xml"}},
	} {
		s.refusesSoon(t, c.name, s.signed(t, c.action, floodRegion, []byte(c.body), c.headers...))
	}
	served(t, stop())
}

// refusesSoon holds the answer to a request to being the client's fault, its time to a second and its memory to four times
// what a body may have.
func (s *service) refusesSoon(t *testing.T, name string, request []byte) {
	t.Helper()
	s.resetPeak(t)
	before := s.peak(t)
	a := &asker{address: s.address()}
	defer a.close()
	began := time.Now()
	status, text, err := a.askWhileSending(request)
	took, grown := time.Since(began), s.peak(t)-before
	t.Logf("%s: %d after %v, %d MiB more: %.100s", name, status, took.Round(time.Millisecond), grown, text)
	if err != nil || status < 400 || status >= 500 {
		t.Errorf("%s: answered %d %.200s, %v", name, status, text, err)
	}
	if most := scaled(time.Second, 20*time.Second); took > most && !raceEnabled {
		t.Errorf("%s: it took %v", name, took)
	}
	if grown > 4*bodyLimit>>20 && !raceEnabled {
		t.Errorf("%s: it took %d MiB", name, grown)
	}
}

// askWhileSending is ask for requests that are answered before they are sent.
func (a *asker) askWhileSending(request []byte) (int, string, error) {
	if status, text, err := a.ask([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil || status != http.StatusNotFound {
		return status, text, err // it opens the connection
	}
	go func(to io.Writer) { _, _ = to.Write(request) }(a.conn) // it ends with the connection, or with what there is to send
	return a.exchange(nil)
}

// largeReport is a report of about 10 MiB: four items of entries with long values, the same for every node, so that what is
// stored stays small beside what is sent.
func largeReport(node int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"InstanceId":"i-%017d","Items":[`, node)
	for i, name := range []string{"Custom:One", "Custom:Two", "Custom:Three", "Custom:Four"} {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"TypeName":%q,"SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"h%d","Content":[`, name, i)
		for e := range 640 {
			if e > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"Name":"entry %d","Text":%q}`, e, strings.Repeat("text", 1000))
		}
		b.WriteString("]}")
	}
	b.WriteString("]}")
	return []byte(b.String())
}

// TestMemoryIsBounded has many nodes send the largest reports there are at once, to a service that holds a fleet already and
// is told to make do with less than a gigabyte. Who is told to come back later does.
func TestMemoryIsBounded(t *testing.T) {
	const bound = 1024 // MiB
	nodes, entries, large := scaled(50_000, 50), 20, scaled(200, 3)
	s := embedded(t.TempDir(), anyRate...)
	s.process.Env = append(s.process.Environ(), "GOMEMLIMIT=768MiB")
	if _, err := s.run(); err != nil {
		t.Fatal(err)
	}
	s.watch(t)
	s.fill(t, nodes, entries)
	requests := make([][]byte, large)
	for i := range requests {
		requests[i] = s.signed(t, "PutInventory", floodRegion, largeReport(i))
	}
	began := time.Now()
	var throttled atomic.Int64
	var sending sync.WaitGroup
	for i, request := range requests {
		sending.Go(func() {
			for n := 0; ; n++ {
				a := &asker{address: s.address()}
				status, text, err := a.askWhileSending(request)
				a.close()
				if err == nil && status == http.StatusOK {
					return
				}
				if err == nil && !strings.Contains(text, "Rate exceeded") && !strings.Contains(text, "Signature expired") || time.Since(began) > 5*patience {
					t.Errorf("%d %s %v", status, text, err)
					return
				}
				if strings.Contains(text, "Signature expired") {
					request = s.signed(t, "PutInventory", floodRegion, largeReport(i))
				}
				throttled.Add(1)
				time.Sleep(time.Duration(min(n, 10)+1) * 100 * time.Millisecond)
			}
		})
	}
	sending.Wait()
	t.Logf("%d reports of 10 MiB at once: all taken after %v, %d times told to come back", large, time.Since(began).Round(time.Millisecond), throttled.Load())
	s.bounded(t, bound)
}

// fill has nodes report as many entries each, and one of their own.
func (s *service) fill(t *testing.T, nodes, entries int) {
	t.Helper()
	var content strings.Builder
	for e := range entries {
		fmt.Fprintf(&content, `{"Name":"package-%d","Version":"1.%d"},`, e, e)
	}
	began := time.Now()
	var next atomic.Int64
	var filling sync.WaitGroup
	for range 8 {
		filling.Go(func() {
			a := &asker{address: s.address()}
			defer a.close()
			for i := next.Add(1); i <= int64(nodes); i = next.Add(1) {
				body := fmt.Sprintf(`{"InstanceId":"i-9%016d","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"h","Content":[%s{"Name":"own","Version":"%d"}]}]}`,
					i, content.String(), i)
				if status, text, err := a.ask(s.signed(t, "PutInventory", floodRegion, []byte(body))); err != nil || status != http.StatusOK {
					t.Errorf("node %d: %d %s %v", i, status, text, err)
				}
			}
		})
	}
	filling.Wait()
	t.Logf("%d nodes and %d entries after %v, %d MiB", nodes, nodes*(entries+1), time.Since(began).Round(time.Second), s.peak(t))
}
