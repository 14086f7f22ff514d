package pgcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// debian is where Debian keeps the programs of PostgreSQL 15, most of which are not in PATH.
const debian = "/usr/lib/postgresql/15/bin"

// site is what clusters started together share: the programs, the user they run as, and the folder that goes with them.
type site struct {
	bin  string
	user *syscall.Credential // nil for ourselves
	dir  string

	keeper *exec.Cmd
	alive  io.Closer // the keeper's standard input: its end is the end of this process
}

// keep waits for the end of its input, then ends every postmaster of the folder and removes the folder. A process is known
// by its working directory, since the file of a killed one names an id that may have been given out again.
const keep = `cat >/dev/null
cd "$1" || exit 1
for file in */postmaster.pid; do
  [ -e "$file" ] || continue
  pid=$(head -n 1 "$file")
  memory=$(sed -n '7s/.* //p' "$file")
  if [ "$(readlink "/proc/$pid/cwd")" = "$1/${file%/*}" ]; then
    kill -QUIT "$pid"; kill -CONT "$pid"
  elif [ -n "$memory" ]; then
    ipcrm -m "$memory" 2>/dev/null
  fi
done
cd /
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  rm -rf "$1" 2>/dev/null && exit 0
  sleep 0.5
done
exit 1`

// find looks for the programs. The site has no folder yet.
func find() (*site, error) {
	bin := debian
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err != nil {
		path, err := exec.LookPath("postgres")
		if err != nil {
			return nil, fmt.Errorf("there is no PostgreSQL, neither in %s nor in PATH: install it (on Debian: apt-get install postgresql-15)", debian)
		}
		bin = filepath.Dir(path)
	}
	s := &site{bin: bin}
	if os.Getuid() == 0 {
		credential, err := ordinaryUser()
		if err != nil {
			return nil, err
		}
		s.user = credential
	}
	return s, nil
}

// ordinaryUser is whom the servers run as when we are root, whom PostgreSQL refuses.
func ordinaryUser() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody")
}

// open finds the programs, makes the folder, and sets the keeper before anything is started there.
func open() (*site, error) {
	s, err := find()
	if err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "stocktake-postgres-"); err != nil {
		return nil, err
	}
	if s.dir, err = filepath.EvalSymlinks(s.dir); err != nil {
		return nil, err
	}
	if s.user != nil {
		if err := os.Chown(s.dir, int(s.user.Uid), int(s.user.Gid)); err != nil {
			return nil, errors.Join(err, os.Remove(s.dir))
		}
	}
	s.keeper = s.command(context.Background(), "/bin/sh", "-c", keep, "sh", s.dir)
	if s.alive, err = s.keeper.StdinPipe(); err == nil {
		err = s.keeper.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pgcluster: cannot run as the user of PostgreSQL in %s: %w", s.dir, err), os.Remove(s.dir))
	}
	return s, nil
}

// close removes the folder; whatever still runs there is ended.
func (s *site) close() error {
	err := s.alive.Close()
	if waited := s.keeper.Wait(); waited != nil {
		err = errors.Join(err, fmt.Errorf("removing %s: %w", s.dir, waited))
	}
	return err
}

// command is a program of PostgreSQL, or one by its path, as the user of the site, in a session of its own so that an
// interrupt at the terminal reaches the test alone, and with nothing of the user's own PostgreSQL.
func (s *site) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(program) {
		program = filepath.Join(s.bin, program)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user, Setsid: true}
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG") || strings.HasPrefix(v, "HOME=")
	}), "LC_ALL=C.UTF-8", "HOME="+s.dir)
	return cmd
}

// run runs a program to its end and gives what it wrote, without the last line's end.
func (s *site) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := s.command(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("pgcluster: %s: %w: %s", filepath.Base(program), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// psql runs statements, one after the other, and gives the rows: a line each, columns parted by "|".
func (s *site) psql(ctx context.Context, address string, statements ...string) (string, error) {
	args := []string{"-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", withoutPool(address)}
	for _, statement := range statements {
		args = append(args, "-c", statement)
	}
	return s.run(ctx, "psql", args...)
}

// withoutPool drops the settings of pgx's pool from a URL: psql refuses what it does not know.
func withoutPool(given string) string {
	before, query, found := strings.Cut(given, "?")
	if !found {
		return given
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return given // psql says what is wrong
	}
	for name := range values {
		if strings.HasPrefix(name, "pool_") {
			values.Del(name)
		}
	}
	return before + "?" + values.Encode()
}
