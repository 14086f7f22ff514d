// Package pgcluster runs throw-away PostgreSQL clusters on loopback: for the benchmark's baseline, and for tests.
//
// Begin with Start, which gives a cluster that can be stopped and killed; StartReplicated gives a primary with standbys,
// to be promoted.
//
// The package promises that nothing outlives the process that asked, however it ends: a small shell waits for that end,
// stops the servers and removes their files. Connections are trusted, so nothing of worth belongs into such a cluster. A
// machine without PostgreSQL is told so.
//
// It refuses to know what is stored: it has no driver, and speaks to its servers through psql. It needs Linux.
package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options are of a cluster. The zero value is PostgreSQL as it comes, durable, sorting text by bytes.
type Options struct {
	// NoSync leaves out fsync: faster, and safe but from a fall of the whole machine. For tests of behaviour; a benchmark
	// that writes has to sync.
	NoSync bool
	// English makes databases that sort text as English does, with ICU.
	English bool
	// Settings are of postgresql.conf, and go before those of this package.
	Settings map[string]string
}

// Query runs statements in the database at a URL as Cluster.Query does, with the psql that clusters are made with.
func Query(ctx context.Context, url string, statements ...string) (string, error) {
	site, err := find()
	if err != nil {
		return "", err
	}
	return site.psql(ctx, url, statements...)
}

// Installed says whether this machine has the programs of PostgreSQL; the error tells what to do.
func Installed() error {
	_, err := find()
	return err
}

// Cluster is one PostgreSQL server and its folder. Its methods are for one goroutine at a time, but for URL, Port and
// Query.
type Cluster struct {
	site    *site
	alone   bool // the site goes with it
	name    string
	data    string
	port    int
	options Options
	process *exec.Cmd
}

// Start makes a cluster and starts it. The caller ends it with Close; it ends with this process otherwise.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	site, err := open()
	if err != nil {
		return nil, err
	}
	c := site.member("cluster", options)
	c.alone = true
	if err = c.initialise(ctx); err == nil {
		err = c.Restart(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// member is a cluster of the site that has no folder yet.
func (s *site) member(name string, options Options) *Cluster {
	return &Cluster{site: s, name: name, data: filepath.Join(s.dir, name), options: options}
}

func (c *Cluster) initialise(ctx context.Context) error {
	args := []string{"-D", c.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"}
	if c.options.English {
		args = append(args, "--locale-provider=icu", "--icu-locale=en-US")
	}
	_, err := c.site.run(ctx, "initdb", args...)
	return err
}

// settings are the command line's, which go before those of the folder's files: standbys copy those.
func (c *Cluster) settings() []string {
	all := map[string]string{
		"max_connections": "200",
		"shared_buffers":  "64MB",
		// Segments in the folder are removed with it; those in /dev/shm would outlive a killed server.
		"dynamic_shared_memory_type": "mmap",
		"log_line_prefix":            "%m [%p] %a ",
	}
	for name, value := range c.options.Settings {
		all[name] = value
	}
	all["listen_addresses"], all["port"], all["unix_socket_directories"] = "127.0.0.1", strconv.Itoa(c.port), ""
	if c.options.NoSync {
		all["fsync"] = "off"
	}
	var args []string
	for name, value := range all {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// Port is the TCP port on 127.0.0.1, the same over every restart.
func (c *Cluster) Port() int { return c.port }

// URL is of the database postgres, as its superuser.
func (c *Cluster) URL() string { return c.DatabaseURL("postgres") }

// DatabaseURL is of a database of this cluster, whether it is there or not.
func (c *Cluster) DatabaseURL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Query runs statements in the database postgres, each in a transaction of its own, and gives their rows: a line each,
// columns parted by "|".
func (c *Cluster) Query(ctx context.Context, statements ...string) (string, error) {
	return c.site.psql(ctx, c.URL(), statements...)
}

// Log is what the server wrote, for the message of a test that failed.
func (c *Cluster) Log() string {
	text, err := os.ReadFile(c.data + ".log")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Restart starts a server that is not running, on the port it had, and returns when it answers.
func (c *Cluster) Restart(ctx context.Context) error {
	if c.process != nil {
		return fmt.Errorf("pgcluster: %s is running", c.name)
	}
	if c.port != 0 {
		return c.launch(ctx)
	}
	var err error
	for range 5 { // another process may take the port in between
		if c.port, err = freePort(ctx); err != nil {
			return err
		}
		if err = c.launch(ctx); err == nil || !strings.Contains(c.Log(), "Address already in use") {
			return err
		}
	}
	return err
}

// freePort finds a port below those that the kernel gives to outgoing connections, so that it is free after a kill too.
func freePort(ctx context.Context) (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		var listener net.Listener
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("pgcluster: no free port: %w", err)
}

func (c *Cluster) launch(ctx context.Context) error {
	log, err := os.OpenFile(c.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Its end is that of Kill, Stop or Close; a context's goroutine would be one that tests count as left behind.
	cmd := c.site.command(context.Background(), "postgres", append([]string{"-D", c.data}, c.settings()...)...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return err
	}
	c.process = cmd
	for {
		ready, err := c.ready()
		if ready {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			c.Kill()
			return fmt.Errorf("pgcluster: %s does not start: %w\n%s", c.name, err, tail(c.Log(), 2000))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// ready reads the status that the postmaster writes of itself.
func (c *Cluster) ready() (bool, error) {
	if !c.Running() {
		return false, errors.New("it ended")
	}
	text, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || strings.TrimSpace(lines[0]) != strconv.Itoa(c.process.Process.Pid) {
		return false, err
	}
	return strings.TrimSpace(lines[7]) == "ready", err
}

// Running says whether the server was started and did not end.
func (c *Cluster) Running() bool {
	if c.process == nil {
		return false
	}
	return runs(c.process.Process.Pid)
}

// runs says whether there is a process, and not only its exit code.
func runs(pid int) bool {
	_, state, err := stat(pid)
	return err == nil && state != "Z"
}

// Kill is kill -9 of the postmaster and all its children, as if the machine had gone.
func (c *Cluster) Kill() {
	if c.process == nil {
		return
	}
	// Stopped, it starts no child that the list would lack.
	_ = c.process.Process.Signal(syscall.SIGSTOP)
	all := children(c.process.Process.Pid)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL) // ended already
	}
	_ = c.process.Process.Kill()
	_ = c.process.Wait() // says that it was killed
	c.process = nil
	for _, pid := range all {
		for runs(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// Stop shuts the server down in order, its clients disconnected.
func (c *Cluster) Stop() error {
	return c.end(syscall.SIGINT)
}

// Close ends the server and removes its folder. A cluster of a Replicated is closed by that alone.
func (c *Cluster) Close() error {
	err := c.end(syscall.SIGQUIT)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil // an immediate shutdown has a code of its own
	}
	if c.alone {
		err = errors.Join(err, c.site.close())
	}
	return err
}

func (c *Cluster) end(signal syscall.Signal) error {
	if c.process == nil {
		return nil
	}
	process := c.process
	c.process = nil
	if err := process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return process.Wait()
}

// children gives the processes whose parent is pid.
func children(pid int) []int {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range all {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if parent, _, err := stat(id); err == nil && parent == pid {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	return found
}

// stat reads the parent and the state of a process. Its name, in parentheses, may hold anything.
func stat(pid int) (parent int, state string, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, "", err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return 0, "", fmt.Errorf("pgcluster: /proc/%d/stat reads %q", pid, text)
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, fields[0], err
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
