package collect

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// processor is the row of AWS:InstanceDetailedInformation, its fields in the stock agent's order. What is unknown is
// the empty string.
type processor struct {
	CPUModel              string
	CPUSpeedMHz           string
	CPUs                  string
	CPUSockets            string
	CPUCores              string
	CPUHyperThreadEnabled string
	OSServicePack         string
	KernelVersion         string
}

// processor asks lscpu, and where there is none reads what lscpu reads.
func (m *Machine) processor(ctx context.Context) (processor, error) {
	p, err := m.lscpu(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		p, err = m.cpuinfo()
	}
	if err != nil {
		return processor{}, err
	}
	p.KernelVersion, err = m.readText("/proc/sys/kernel/osrelease")
	if err != nil {
		return processor{}, fmt.Errorf("read the kernel's version: %w", err)
	}
	return p, nil
}

func (m *Machine) lscpu(ctx context.Context) (processor, error) {
	out, err := m.Run(ctx, "lscpu")
	if err != nil {
		return processor{}, err
	}
	return parseLscpu(string(out)), nil
}

// parseLscpu reads the lines "label: value" of lscpu; the first line of a label counts.
func parseLscpu(out string) processor {
	value := labelled(out)
	p := processor{CPUModel: value["Model name"], CPUs: value["CPU(s)"]}
	if mhz, ok := value["CPU MHz"]; ok {
		p.CPUSpeedMHz = wholeMHz(mhz)
	}
	sockets, err := strconv.Atoi(value["Socket(s)"])
	if err == nil {
		p.CPUSockets = value["Socket(s)"]
		if cores, err := strconv.Atoi(value["Core(s) per socket"]); err == nil {
			p.CPUCores = strconv.Itoa(sockets * cores)
		}
	}
	if threads, err := strconv.Atoi(value["Thread(s) per core"]); err == nil {
		p.CPUHyperThreadEnabled = strconv.FormatBool(threads > 1)
	}
	return p
}

func labelled(text string) map[string]string {
	value := make(map[string]string)
	for line := range strings.Lines(text) {
		label, rest, ok := strings.Cut(line, ":")
		label = strings.TrimSpace(label)
		if _, seen := value[label]; ok && !seen {
			value[label] = strings.TrimSpace(rest)
		}
	}
	return value
}

// wholeMHz cuts a frequency to whole megahertz; what is no frequency counts as 0, as in the stock agent.
func wholeMHz(s string) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f > 0 && f < 1e9) {
		f = 0
	}
	return strconv.Itoa(int(f))
}

// cpuinfo reads /proc/cpuinfo: one block a logical processor, blank lines between. Machines that do not say which core
// and socket a processor is of (most that are not x86) give their count and nothing derived from it.
func (m *Machine) cpuinfo() (processor, error) {
	text, err := m.readText("/proc/cpuinfo")
	if err != nil {
		return processor{}, fmt.Errorf("read the processors: %w", err)
	}
	return parseCPUInfo(text), nil
}

func parseCPUInfo(text string) processor {
	var p processor
	count := 0
	sockets, cores := make(map[string]bool), make(map[string]bool)
	for block := range strings.SplitSeq(text, "\n\n") {
		value := labelled(block)
		if _, ok := value["processor"]; !ok {
			continue
		}
		count++
		if p.CPUModel == "" {
			p.CPUModel = value["model name"]
		}
		if mhz, ok := value["cpu MHz"]; ok && p.CPUSpeedMHz == "" {
			p.CPUSpeedMHz = wholeMHz(mhz)
		}
		socket, hasSocket := value["physical id"]
		core, hasCore := value["core id"]
		if hasSocket && hasCore {
			sockets[socket] = true
			cores[socket+" "+core] = true
		}
	}
	if count > 0 {
		p.CPUs = strconv.Itoa(count)
	}
	if len(cores) > 0 {
		p.CPUSockets, p.CPUCores = strconv.Itoa(len(sockets)), strconv.Itoa(len(cores))
		p.CPUHyperThreadEnabled = strconv.FormatBool(count > len(cores))
	}
	return p
}
