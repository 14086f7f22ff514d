package bench

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine is where a benchmark ran.
type Machine struct {
	Processor   string
	Cores       int
	MemoryBytes int64
	Kernel      string
	Go          string
	Load        string // averages over 1, 5 and 15 minutes when the run began
}

func describeMachine() Machine {
	m := Machine{Processor: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	if v, ok := procField("/proc/cpuinfo", "model name"); ok {
		m.Processor = v
	}
	if v, ok := procField("/proc/meminfo", "MemTotal"); ok {
		m.MemoryBytes = kibibytes(v)
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease") // what cannot be read stays empty
	m.Kernel = strings.TrimSpace(string(kernel))
	load, _ := os.ReadFile("/proc/loadavg")
	m.Load = strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " ")
	return m
}

// procField finds the first line "name: value" of a file of /proc.
func procField(path, name string) (string, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// kibibytes reads "123 kB", as /proc writes sizes.
func kibibytes(v string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(v, "kB")), 10, 64)
	return n << 10
}

// cpuOf is the processor time a process has used so far, to the nanosecond: the sum over its threads. 0 where it cannot be
// read. Go ends hardly a thread, so hardly any time is lost with one.
func cpuOf(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	threads, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat") // the pattern is well formed
	var sum time.Duration
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		ran, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(ran, 10, 64)
		sum += time.Duration(n)
	}
	return sum
}

// memoryOf gives the largest and the present memory of a process, as the kernel counts it.
func memoryOf(pid int) (peak, resident int64) {
	status := "/proc/" + strconv.Itoa(pid) + "/status"
	if v, ok := procField(status, "VmHWM"); ok {
		peak = kibibytes(v)
	}
	if v, ok := procField(status, "VmRSS"); ok {
		resident = kibibytes(v)
	}
	return peak, resident
}
