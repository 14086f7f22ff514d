package httpd

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the addresses of proxies that are believed what they say of where a request came from.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks (CIDR). It refuses a network of everybody, by which every client could say what
// it likes.
func ParseProxies(texts []string) (Proxies, error) {
	var p Proxies
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if address, fault := netip.ParseAddr(text); fault == nil {
			network, err = address.Prefix(address.BitLen())
		}
		switch {
		case err != nil || network.Addr().Is4In6():
			return nil, fmt.Errorf("%q is neither an address nor a network, as 10.0.0.7 and 10.0.0.0/24 are", text)
		case network.Bits() == 0:
			return nil, fmt.Errorf("%q is everybody: name the proxies", text)
		}
		p = append(p, network.Masked())
	}
	return p, nil
}

func (p Proxies) contain(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// client gives the address a request came from, as host:port; the port is 0 where a proxy told. Of what X-Forwarded-For
// lists only the end can be believed: each proxy adds the peer it sees, and what stands before may be anybody's invention.
// So the client is the last address that is no trusted proxy's. Where a trusted proxy lists what is no address, the client is
// who handed it that.
func (p Proxies) client(r *http.Request) string {
	if len(p) == 0 {
		return r.RemoteAddr
	}
	socket, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	client := plain(socket.Addr())
	if !p.contain(client) {
		return r.RemoteAddr
	}
	for _, line := range slices.Backward(r.Header["X-Forwarded-For"]) {
		for rest, more := line, true; more; {
			var hop string
			comma := strings.LastIndexByte(rest, ',')
			if more = comma >= 0; more {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				hop = rest
			}
			address, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				return netip.AddrPortFrom(client, 0).String()
			}
			if client = address; !p.contain(client) {
				return netip.AddrPortFrom(client, 0).String()
			}
		}
	}
	return netip.AddrPortFrom(client, 0).String()
}

// parseHop reads an address as proxies list it: some add a port.
func parseHop(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err == nil {
		return plain(a), true
	}
	a, err := netip.ParseAddrPort(text)
	return plain(a.Addr()), err == nil
}

// plain gives an address as there is one form of it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
