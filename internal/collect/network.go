package collect

import (
	"fmt"
	"net/netip"
)

// network is one row of AWS:Network, its fields in the stock agent's order. The first four optional ones are never
// known on Linux, there or here.
type network struct {
	Name       string
	SubnetMask string `json:",omitempty"`
	Gateway    string `json:",omitempty"`
	DHCPServer string `json:",omitempty"`
	DNSServer  string `json:",omitempty"`
	MacAddress string
	IPV4       string
	IPV6       string
}

// networks lists the interfaces but for loopback. A row has room for one address of each family: the last one.
func networks(all []Interface) []network {
	var rows []network
	for _, i := range all {
		if i.Loopback {
			continue
		}
		row := network{Name: i.Name, MacAddress: i.MAC}
		for _, a := range i.Addrs {
			if a.Is4() {
				row.IPV4 = a.String()
			} else {
				row.IPV6 = a.WithZone("").String()
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// mainAddress is the address the machine is known by: the first IPv4 address of an interface that is up, else the
// first IPv6 address that is not link-local, else none.
func mainAddress(all []Interface) string {
	var six netip.Addr
	for _, i := range all {
		if i.Loopback || !i.Up {
			continue
		}
		for _, a := range i.Addrs {
			switch {
			case a.Is4() && a.IsGlobalUnicast():
				return a.String()
			case !six.IsValid() && a.IsGlobalUnicast():
				six = a
			}
		}
	}
	if !six.IsValid() {
		return ""
	}
	return six.WithZone("").String()
}

func (m *Machine) interfaces() ([]Interface, error) {
	all, err := m.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	return all, nil
}
