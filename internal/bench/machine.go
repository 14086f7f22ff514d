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

// CPUOf is the processor time that a process and all descendants of another have used so far, 0 standing for none.
func CPUOf(pid, tree int) time.Duration {
	sum := cpuOf(pid)
	if tree != 0 {
		sum += cpuOfTree(tree)
	}
	return sum
}

// cpuOfTree is the processor time of a process and of all its descendants, with those that ended as far as their parents
// waited for them. 0 where it cannot be read.
func cpuOfTree(pid int) time.Duration {
	children := map[int][]int{}
	ended := map[int]time.Duration{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		// The name, in parentheses, may hold anything; the fields after it are numbers but for the first.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		number := func(i int) int { n, _ := strconv.Atoi(fields[i]); return n }
		if len(fields) < 15 {
			continue
		}
		one, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		children[number(1)] = append(children[number(1)], one)
		ended[one] = time.Duration(number(13)+number(14)) * tick
	}
	var sum time.Duration
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		sum += cpuOf(queue[0]) + ended[queue[0]]
		queue = append(queue, children[queue[0]]...)
	}
	return sum
}

// tick is the unit of times in /proc: a hundredth of a second on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// ParentOf gives the parent of a process on this machine, 0 where there is no such process.
func ParentOf(pid int) int {
	v, _ := procField("/proc/"+strconv.Itoa(pid)+"/status", "PPid")
	parent, _ := strconv.Atoi(v)
	return parent
}

// NameOf gives the name of a process on this machine, empty where there is none.
func NameOf(pid int) string {
	v, _ := procField("/proc/"+strconv.Itoa(pid)+"/status", "Name")
	return v
}
