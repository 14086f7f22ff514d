package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestForwardedAddressIsBelievedOfProxiesAlone sends requests as a proxy would, to a service that trusts it and to one that
// does not: what address the log has, whose rate is spent, and that the signed host is that of the request.
func TestForwardedAddressIsBelievedOfProxiesAlone(t *testing.T) {
	for name, c := range map[string]struct {
		args    []string
		peer    string
		refused bool // another address is refused for what the first one asked
	}{
		"trusted":     {[]string{"--trusted-proxies", "127.0.0.0/8"}, "203.0.113.9", false},
		"not trusted": {nil, "127.0.0.1", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, t.TempDir(), append(c.args, "--rate-source", "1", "--log-level", "debug")...)
			a := &asker{address: s.address()}
			defer a.close()
			from := func(forwarded string) (int, string) {
				request := s.signed(t, "GetInventory", floodRegion, []byte("{}"))
				// A proxy adds it to what was signed.
				added := strings.Replace(string(request), "\r\n", "\r\nX-Forwarded-For: "+forwarded+"\r\nX-Forwarded-Host: elsewhere\r\n", 1)
				status, text, err := a.ask([]byte(added))
				if err != nil {
					t.Fatal(err)
				}
				return status, text
			}
			if status, text := from("198.51.100.1, 203.0.113.9"); status != http.StatusOK {
				t.Fatalf("%d %s", status, text)
			}
			eventually(t, "the log names the peer", patience, func() error {
				if log := s.log.String(); !strings.Contains(log, `"peer":"`+c.peer+`"`) {
					return fmt.Errorf("not %s: %s", c.peer, s.log.tail(1000))
				}
				return nil
			})
			last := 0
			for range 80 { // the rate is one a second, after 60 at once
				// What it makes up of itself is another address each time.
				last, _ = from("198.51.100." + string(rune('1'+last%9)) + ", 203.0.113.9")
			}
			if last != http.StatusBadRequest {
				t.Errorf("an address that asks too often is answered %d", last)
			}
			if status, text := from("203.0.113.10"); (status == http.StatusBadRequest) != c.refused {
				t.Errorf("another address is answered %d %s", status, text)
			}
		})
	}
	s := sharedService(t)
	a := &asker{address: s.address()}
	defer a.close()
	request := string(s.signed(t, "GetInventory", floodRegion, []byte("{}")))
	moved := strings.Replace(request, "Host: "+s.address()+"\r\n", "Host: elsewhere\r\nX-Forwarded-Host: "+s.address()+"\r\n", 1)
	if moved == request {
		t.Fatal("the request names no host")
	}
	if status, text, err := a.ask([]byte(moved)); err != nil || status != http.StatusBadRequest || !strings.Contains(text, "InvalidSignatureException") {
		t.Errorf("a host that is forwarded counts as the one that was signed: %d %s %v", status, text, err)
	}
}
