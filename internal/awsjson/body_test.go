package awsjson

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestChunkedAndLargeBodies(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxBody = 3 << 20 })
	item := `{"TypeName":"Custom:Rack","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Ignored":"`
	for _, size := range []int{0, 511, 512, 1<<20 - 400, 1 << 20, 2_500_000} {
		for _, chunked := range []bool{false, true} {
			body := `{"InstanceId":"i-12345678","Items":[` + item + strings.Repeat("x", size) + `"}]}`
			answer := b.send(t, "PutInventory", body, flaw{after: func(r *http.Request) {
				if chunked {
					r.ContentLength = -1
					// net/http sends a length it can find out.
					r.Body = io.NopCloser(io.MultiReader(strings.NewReader(body)))
					r.Header.Del("Content-Length")
				}
			}, before: func(r *http.Request) {
				if chunked {
					r.ContentLength = -1
				}
			}})
			if text := read(t, answer); text != `{"Message":"i-12345678"}` {
				t.Errorf("%d bytes, chunked %v: %s", len(body), chunked, text)
			}
		}
	}
}

func TestBodyLimitIsExact(t *testing.T) {
	const limit = 5000
	b := newBench(t, func(c *Config) { c.MaxBody = limit })
	for size, want := range map[int]int{limit: 200, limit + 1: 413, 50 * limit: 413} {
		answer := b.send(t, "GetInventory", "{}"+strings.Repeat(" ", size-2))
		if answer.StatusCode != want || (want == 413) != answer.Close {
			t.Errorf("%d bytes: %s, closed %v", size, answer.Status, answer.Close)
		}
	}
}

func TestBrokenBodyIsTheCallersFault(t *testing.T) {
	b := newBench(t, nil)
	request := ""
	b.send(t, "GetInventory", "{}", flaw{after: func(r *http.Request) {
		request = "POST / HTTP/1.1\r\nHost: " + r.URL.Host + "\r\nContent-Length: 2\r\n"
		for name, values := range r.Header {
			request += name + ": " + values[0] + "\r\n"
		}
	}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(request + "\r\n{")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "400 Bad Request") || !strings.Contains(string(answer), "could not be read to its end") {
		t.Errorf("%v: %s", err, answer)
	}
	if log := b.logged(); strings.Contains(log, "internal error") {
		t.Errorf("log: %s", log)
	}
}

// firstRead notes how much room the first read of a body is given.
type firstRead struct {
	io.Reader
	room int
}

func (f *firstRead) Read(p []byte) (int, error) {
	if f.room == 0 {
		f.room = len(p)
	}
	return f.Reader.Read(p)
}

// TestNoRoomIsMadeForWhatOnlyWaits has the first read of a body, which may wait for memory with thousands of others, hold next to
// none itself. Once it has begun to come there is room for a report at once.
func TestNoRoomIsMadeForWhatOnlyWaits(t *testing.T) {
	for _, announced := range []int{0, 1, firstRoom, 100_000, trusted, 3 * trusted} {
		from := &firstRead{Reader: strings.NewReader(strings.Repeat("x", announced))}
		body, err := readBody(from, int64(announced), nil)
		if err != nil || len(body) != announced || from.room > 2*firstRoom {
			t.Errorf("of %d bytes %d were read, with room for %d at first; %v", announced, len(body), from.room, err)
		}
		if announced <= trusted && cap(body) > 2*announced+2*firstRoom {
			t.Errorf("%d bytes lie in %d", announced, cap(body))
		}
	}
}

// TestShrinkKeepsLittle has a small body in a large buffer, as those of requests before leave behind.
func TestShrinkKeepsLittle(t *testing.T) {
	h := &Handler{}
	b := append(make([]byte, 0, 1<<20), "a poll"...)
	h.shrink(&b)
	if string(b) != "a poll" || cap(b) > 64 {
		t.Errorf("left is %q in %d bytes", b, cap(b))
	}
}
