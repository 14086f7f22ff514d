package httpd

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestClientBehindProxies(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/24", "192.0.2.1", "2001:db8:ff::/48"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, socket string
		said         []string
		want         string
	}{
		{"who is no proxy is not believed", "203.0.113.9:4711", []string{"198.51.100.7"}, "203.0.113.9:4711"},
		{"a proxy is", "10.0.0.7:4711", []string{"198.51.100.7"}, "198.51.100.7:0"},
		{"one given as an address too", "192.0.2.1:4711", []string{"198.51.100.7"}, "198.51.100.7:0"},
		{"its neighbour is not", "192.0.2.2:4711", []string{"198.51.100.7"}, "192.0.2.2:4711"},
		{"what the client made up stands before what the proxy saw", "10.0.0.7:1", []string{"127.0.0.1, 10.0.0.8, 198.51.100.7"}, "198.51.100.7:0"},
		{"in a line of its own too", "10.0.0.7:1", []string{"127.0.0.1", "10.0.0.8, 198.51.100.7"}, "198.51.100.7:0"},
		{"a line of the proxy after one of the client", "10.0.0.7:1", []string{"127.0.0.1", "198.51.100.7"}, "198.51.100.7:0"},
		{"through two proxies", "10.0.0.7:1", []string{"127.0.0.1, 198.51.100.7, 10.0.0.8"}, "198.51.100.7:0"},
		{"a client that is a proxy itself", "10.0.0.7:1", []string{"10.0.0.9, 10.0.0.8"}, "10.0.0.9:0"},
		{"a proxy that says nothing", "10.0.0.7:1", nil, "10.0.0.7:0"},
		{"or nothing that can be read", "10.0.0.7:1", []string{"198.51.100.7, unknown"}, "10.0.0.7:0"},
		{"or an empty line", "10.0.0.7:1", []string{""}, "10.0.0.7:0"},
		{"the second says nothing that can be read", "10.0.0.7:1", []string{"198.51.100.7, nobody, 10.0.0.8"}, "10.0.0.8:0"},
		{"a port is left out", "10.0.0.7:1", []string{"198.51.100.7:5544"}, "198.51.100.7:0"},
		{"IPv6", "[2001:db8:ff::1]:1", []string{"::1, 2001:db8::5"}, "[2001:db8::5]:0"},
		{"IPv6 with a port", "[2001:db8:ff::1]:1", []string{"[2001:db8::5]:4711"}, "[2001:db8::5]:0"},
		{"IPv6 in brackets", "10.0.0.7:1", []string{"[2001:db8::5]"}, "[2001:db8::5]:0"},
		{"IPv4 within IPv6, of socket and client", "[::ffff:10.0.0.7]:1", []string{"::ffff:198.51.100.7"}, "198.51.100.7:0"},
		{"no address at all", "@", []string{"198.51.100.7"}, "@"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = c.socket
		r.Header["X-Forwarded-For"] = c.said
		if got := proxies.client(r); got != c.want {
			t.Errorf("%s: %s says %q: the client is %s, not %s", c.name, c.socket, c.said, got, c.want)
		}
		if got := Proxies(nil).client(r); got != c.socket {
			t.Errorf("%s: without proxies the client is %s", c.name, got)
		}
	}
}

func TestProxiesAreRead(t *testing.T) {
	for _, text := range []string{"", "everybody", "0.0.0.0/0", "::/0", "10.0.0.0/33", "::ffff:10.0.0.0/104", "10.0.0.1:80", "proxy.example.org"} {
		if p, err := ParseProxies([]string{text}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is taken as %v, %v", text, p, err)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("198.51.100.7, 10.0.0.8")
	f.Add("[::1]:8,,x")
	proxies, err := ParseProxies([]string{"10.0.0.0/24"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said string) {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = "10.0.0.7:1"
		// Whatever a client says, the proxy adds what it sees.
		r.Header["X-Forwarded-For"] = []string{said + ", 203.0.113.9"}
		if got := proxies.client(r); got != "203.0.113.9:0" {
			t.Errorf("by %q the client is %s", said, got)
		}
	})
}

// TestSpoofedSourceIsNoOther asks too often while it says each time to be somebody else, of a server that believes a proxy,
// and of one that believes nobody.
func TestSpoofedSourceIsNoOther(t *testing.T) {
	loopback, err := ParseProxies([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		proxies Proxies
		end     string // of the header, as a proxy adds it
		many    bool   // the last of them is another each time
		refused bool
	}{
		"nobody is believed":                    {nil, "", true, true},
		"a proxy, that saw one client":          {loopback, ", 203.0.113.9", true, true},
		"a proxy, that saw a client each time":  {loopback, "", true, false},
		"a proxy, and networks of one machine":  {loopback, ", 2001:db8::", false, true},
		"nobody, and the header is not to sway": {nil, ", 203.0.113.9", true, true},
	} {
		limits := testLimits()
		limits.Sources = NewSources(1, 5*time.Second)
		s := serve(t, nil, func(s *Server) {
			s.Handler = Chain(http.HandlerFunc(okHandler), Requests{Log: s.Log, Proxies: c.proxies}.Middleware, limits.Middleware)
		})
		refused := 0
		one := client(t, false, nil)
		for i := range 20 {
			r, err := http.NewRequest(http.MethodPost, s.url(), strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			who := "192.0.2." + string(rune('0'+i%10)) + string(rune('0'+i/10)) + c.end
			if !c.many {
				who = "192.0.2.1" + c.end + string(rune('a'+i%6))
			}
			r.Header.Set("X-Forwarded-For", who)
			answer, err := one.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusBadRequest && string(text) == `{"__type":"ThrottlingException","message":"Rate exceeded"}` {
				refused++
			} else if answer.StatusCode != http.StatusOK {
				t.Errorf("%s: answered %d %s", name, answer.StatusCode, text)
			}
		}
		if want := int(limits.Sources.Refused()); refused != want || (refused >= 10) != c.refused {
			t.Errorf("%s: %d refused, %d counted", name, refused, want)
		}
	}
}

func TestUrgentRequestsHaveABucketOfTheirOwn(t *testing.T) {
	s := NewSources(1, 3*time.Second)
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	for range 10 {
		s.take(r, Ordinary)
	}
	if s.take(r, Idle) || !s.take(r, Urgent) || s.Refused() != 8 {
		t.Errorf("%d refused", s.Refused())
	}
	if unbounded := NewSources(0, time.Minute); !unbounded.take(r, Ordinary) || unbounded.Refused() != 0 {
		t.Error("a rate of 0 bounds")
	}
}
