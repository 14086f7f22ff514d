// Command stocktake keeps the inventory of a fleet and answers questions about it, by the inventory API of AWS Systems
// Manager. One binary, one file a subcommand; begin with run, which reads the command line, and serve, which wires the
// rooms. Flags win over environment variables, those over the configuration file; nothing else in the project reads any of
// the three. Exit codes: 0 done, 1 failed, 2 the command line or a setting is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// commands is the whole command line.
type commands struct {
	Demo      demoCommand      `cmd:"" hidden:"" help:"Show the service with this machine and a simulated fleet in it; make demo runs it."`
	Serve     serveCommand     `cmd:"" help:"Run the service."`
	Collect   collectCommand   `cmd:"" help:"Read the inventory of this machine, and print or send it."`
	Node      nodeCommand      `cmd:"" help:"Register, list, terminate and remove nodes."`
	Retention retentionCommand `cmd:"" help:"Drop what is too old."`
	Migrate   migrateCommand   `cmd:"" help:"Make or update the tables of a database."`
	Copy      copyCommand      `cmd:"" help:"Carry a store to another: from a folder to a database, or back."`
	Backup    backupCommand    `cmd:"" help:"Write all of a store into a file, while it is served."`
	Restore   restoreCommand   `cmd:"" help:"Fill an empty store from a backup."`
	Verify    verifyCommand    `cmd:"" help:"Look all of a store, or of a backup, over."`
	Audit     auditCommand     `cmd:"" help:"Read and check who did what."`
	Doctor    doctorCommand    `cmd:"" help:"Look at the settings, this machine and the database."`
	Bench     benchCommand     `cmd:"" help:"Measure a server with a simulated fleet."`
	BenchSide benchSideCommand `cmd:"" hidden:"" help:"Serve what bench compares with."`
	Config    configCommand    `cmd:"" help:"Look at the settings."`
	Version   versionCommand   `cmd:"" help:"Print the version of this binary."`
}

// process is what a command may use of the process it runs in.
type process struct {
	ctx    context.Context
	env    map[string]string
	stdout io.Writer
	stderr io.Writer
	layers *layers
}

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const about = `Keeps the inventory of a fleet of machines, and answers questions about it to the stock AWS clients.

Every setting of the service can be a flag (--listen), an environment variable (STOCKTAKE_LISTEN) or a key of the
configuration file (listen); flags win over the environment, the environment over the file.`

// run does what the arguments say and gives the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := &process{ctx: ctx, env: environment(environ), stdout: stdout, stderr: stderr}
	p.layers = newLayers(p.env)
	exited := -1
	parser, err := kong.New(&commands{},
		kong.Name("stocktake"),
		kong.Description(about),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.Resolvers(p.layers),
		defaults(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.ShortUsageOnError(),
	)
	if err != nil {
		return p.fail(err, exitFailed)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		return p.fail(err, exitUsage)
	}
	if err := command.Run(p); err != nil {
		if ue := (*usageError)(nil); errors.As(err, &ue) {
			return p.fail(err, exitUsage)
		}
		return p.fail(err, exitFailed)
	}
	return exitDone
}

// fail prints an error, and its hints each on a line of its own.
func (p *process) fail(err error, code int) int {
	if ue := (*usageError)(nil); errors.As(err, &ue) {
		err = ue // the parser's own words around it say less
	}
	text, hints, _ := strings.Cut(err.Error(), "\nhint: ")
	fmt.Fprintf(p.stderr, "stocktake: error: %s\n", text)
	for hint := range strings.SplitSeq(hints, "\nhint: ") {
		if hint != "" {
			fmt.Fprintf(p.stderr, "stocktake: hint: %s\n", hint)
		}
	}
	return code
}

// usageError is a mistake in a setting or on the command line: the text names the key and where it was given.
type usageError struct {
	text string
	hint string
}

func (e *usageError) Error() string {
	if e.hint == "" {
		return e.text
	}
	return e.text + "\nhint: " + e.hint
}

func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env
}
