package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var freshCLI = flag.Bool("fresh-cli", false, "start the aws CLI anew for each of its calls, which takes a second each")

// reader is a process of Python that has read the aws CLI, and runs each call in a copy of itself: testdata/aws.py.
type reader struct {
	once   sync.Once
	dir    string
	socket string // empty: the CLI is no program of this machine's Python, or is to be started for each call
	stdin  io.Closer
	cmd    *exec.Cmd
}

var cli reader

// runAWS runs the real aws CLI with an environment. As the program would be, it is read anew for no call but those of a
// CLI that came without its Python, and with -fresh-cli.
func runAWS(ctx context.Context, env []string, args ...string) (stdout, stderr string, err error) {
	cli.once.Do(cli.start)
	if cli.socket == "" || *freshCLI {
		return execute(ctx, env, "aws", args...)
	}
	answer, err := cli.call(ctx, env, args)
	if err != nil {
		return "", "", fmt.Errorf("the process that runs the aws CLI: %w", err)
	}
	if answer.Code != 0 {
		err = fmt.Errorf("exit status %d", answer.Code)
	}
	return answer.Stdout, answer.Stderr, err
}

// start tries the Python that the program names in its first line, and the one in PATH: a program may be a script of
// another kind, which finds its Python by itself, or none.
func (r *reader) start() {
	program, err := exec.LookPath("aws")
	if err != nil {
		return // the caller's own start says so
	}
	if r.dir, err = os.MkdirTemp("", "stocktake-e2e-aws-"); err != nil {
		return
	}
	for _, python := range []string{firstLine(program), "python3"} {
		if strings.Contains(filepath.Base(python), "python") && r.listens(python) {
			r.socket = filepath.Join(r.dir, "socket")
			return
		}
	}
}

// firstLine gives the interpreter that a script names.
func firstLine(program string) string {
	file, err := os.Open(program)
	if err != nil {
		return ""
	}
	defer file.Close()
	line, err := bufio.NewReader(io.LimitReader(file, 4096)).ReadString('\n')
	if err != nil {
		return ""
	}
	name, _ := strings.CutPrefix(strings.TrimSpace(line), "#!")
	return name
}

// listens starts the process, and says whether it found the CLI.
func (r *reader) listens(python string) bool {
	r.cmd = exec.Command(python, "testdata/aws.py", filepath.Join(r.dir, "socket"))
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		return false
	}
	stdout, err := r.cmd.StdoutPipe()
	if err != nil || r.cmd.Start() != nil {
		return false
	}
	r.stdin = stdin
	if version, err := bufio.NewReader(stdout).ReadString('\n'); err == nil && version != "" {
		return true
	}
	r.end()
	return false
}

func (r *reader) end() {
	_ = r.stdin.Close() // its end is awaited
	_ = r.cmd.Wait()    // of a Python without the CLI, an error
}

// stop ends the process, if there is one.
func (r *reader) stop() {
	if r.socket != "" {
		r.end()
	}
	if r.dir != "" {
		remove(r.dir)
	}
}

type awsAnswer struct {
	Code           int
	Stdout, Stderr string
}

func (r *reader) call(ctx context.Context, env, args []string) (answer awsAnswer, err error) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "unix", r.socket)
	if err != nil {
		return answer, err
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })() // the read tells
	request, err := json.Marshal(map[string][]string{"env": env, "args": args})
	if err != nil {
		return answer, err
	}
	_, err = connection.Write(request)
	if err = errors.Join(err, connection.(*net.UnixConn).CloseWrite()); err == nil {
		err = json.NewDecoder(connection).Decode(&answer)
	}
	return answer, err
}

// TestCommandLineProgram calls the CLI once as the program that users start, and is answered what its copies are.
func TestCommandLineProgram(t *testing.T) {
	s := sharedService(t)
	env := append(os.Environ(), s.clientEnv(cliRegion)...)
	tool(t, "aws")
	for _, args := range [][]string{
		{"ssm", "--endpoint-url", s.endpoint, "get-inventory", "--result-attributes", "TypeName=Custom:Nowhere"},
		{"ssm", "--endpoint-url", s.endpoint, "list-inventory-entries", "--instance-id", "i-0", "--type-name", "AWS:Application"},
	} {
		stdout, stderr, err := execute(t.Context(), env, "aws", args...)
		again, log, failed := runAWS(t.Context(), env, args...)
		if stdout != again || stderr != log || fmt.Sprint(err) != fmt.Sprint(failed) {
			t.Errorf("aws %v: %q, %q, %v from the program, %q, %q, %v from a copy of a process that read it", args, stdout, stderr, err, again, log, failed)
		}
	}
}
