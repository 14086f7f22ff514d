package collect

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"stocktake/internal/inventory"
)

// platform is the row of AWS:InstanceInformation. The stock agent never puts this type (the service makes it of its
// heartbeat), so the order of the fields is our own; InstanceId and InstanceStatus are the service's to say.
type platform struct {
	AgentType       string
	AgentVersion    string
	ComputerName    string
	IpAddress       string //nolint:revive,staticcheck // the attribute's name on the wire
	PlatformName    string
	PlatformType    string
	PlatformVersion string
	ResourceType    string
}

const agentType = "stocktake-collect"

// platform describes the system. A node id of the kind i- is an EC2Instance and one of the kind mi- a ManagedInstance:
// the id alone decides it in the public API too.
func (m *Machine) platform(o Options, all []Interface) (platform, error) {
	name, err := m.readText("/proc/sys/kernel/hostname")
	if err != nil {
		return platform{}, fmt.Errorf("read the computer's name: %w", err)
	}
	release, err := m.osRelease()
	if err != nil {
		return platform{}, err
	}
	p := platform{
		AgentType: agentType, AgentVersion: o.AgentVersion, ComputerName: name, IpAddress: mainAddress(all),
		PlatformName: release["NAME"], PlatformType: "Linux", PlatformVersion: release["VERSION_ID"],
		ResourceType: "EC2Instance",
	}
	if p.PlatformName == "" {
		p.PlatformName = "Linux"
	}
	if o.Node.Activated() {
		p.ResourceType = "ManagedInstance"
	}
	return p, nil
}

// osRelease reads os-release(5), at its first place or its second; a system without it has no names.
func (m *Machine) osRelease() (map[string]string, error) {
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, err := m.readText(name)
		switch {
		case err == nil:
			return parseOSRelease(text), nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("read the system's name: %w", err)
		}
	}
	return map[string]string{}, nil
}

// parseOSRelease reads NAME=value lines by the shell's quoting as os-release(5) allows it: bare, in single quotes, or
// in double quotes where a backslash takes the next character as it is. The last line of a name counts.
func parseOSRelease(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		values[name] = unquote(value)
	}
	return values
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// fingerprint is what tells this machine from another that reports under the same node id.
type fingerprint struct {
	Name string
	MACs []string
}

func fingerprintOf(items []inventory.Item) fingerprint {
	var f fingerprint
	for _, item := range items {
		for _, entry := range item.Content {
			f.add(item.Type, entry)
		}
	}
	return f
}

func (f *fingerprint) add(t inventory.TypeName, entry inventory.Entry) {
	switch t {
	case inventory.TypeInstanceInformation:
		f.Name, _ = entry.Get("ComputerName")
	case typeNetwork:
		if mac, _ := entry.Get("MacAddress"); mac != "" {
			f.MACs = append(f.MACs, strings.ToLower(mac))
		}
	}
}
