//go:build s3

package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stocktake/internal/backup/bucket"
	"stocktake/internal/pgtest"
)

// gatewayProgram is an S3 service over a folder, which is none of the project's: `make s3-check` installs it. The tests of
// this file are built with the tag s3 alone.
var gatewayProgram = flag.String("gateway", "../bin/versitygw", "the program of the S3 service")

// s3Gateway is a running S3 service with the bucket backups.
type s3Gateway struct{ url string }

func startGateway(t *testing.T) *s3Gateway {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "gateway", "AWS_SECRET_ACCESS_KEY": "gatewaysecret", "AWS_REGION": "us-east-1",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), *gatewayProgram, "--port", address, "--access", "gateway", "--secret", "gatewaysecret",
		"--quiet", "posix", t.TempDir())
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make s3-check installs it", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	g := &s3Gateway{url: "http://" + address}
	for tries := 0; ; tries++ {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			break
		} else if tries == 100 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	g.aws(t, "s3", "mb", "s3://backups")
	return g
}

// aws runs the aws CLI against the service.
func (g *s3Gateway) aws(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool(t, "aws"), append([]string{"--endpoint-url", g.url}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("aws %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// nothingOpen checks that no upload was left unfinished.
func (g *s3Gateway) nothingOpen(t *testing.T) {
	t.Helper()
	if open := g.aws(t, "s3api", "list-multipart-uploads", "--bucket", "backups"); strings.Contains(open, "UploadId") {
		t.Errorf("uploads stay open: %s", open)
	}
}

// TestGatewayKeepsWhatWasUploaded uploads 50 MB in parts of the size AWS gets, and reads them back, by the aws CLI too.
func TestGatewayKeepsWhatWasUploaded(t *testing.T) {
	g := startGateway(t)
	content := make([]byte, 50_000_001)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	o, err := bucket.Open(t.Context(), "s3://backups/folder/large", bucket.Options{Endpoint: g.url})
	if err != nil {
		t.Fatal(err)
	}
	write := func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}
	if err := o.Create(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	r, err := o.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes read of %d: %v", len(got), len(content), err)
	}
	file := filepath.Join(t.TempDir(), "copy")
	g.aws(t, "s3", "cp", "--quiet", "s3://backups/folder/large", file)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the aws CLI reads %d bytes of %d: %v", len(got), len(content), err)
	}
	if err := o.Create(t.Context(), write); !errors.Is(err, fs.ErrExist) {
		t.Errorf("once more: %v", err)
	}
	late, err := bucket.Open(t.Context(), "s3://backups/late", bucket.Options{Endpoint: g.url})
	if err != nil {
		t.Fatal(err)
	}
	err = late.Create(t.Context(), func(w io.Writer) error {
		g.aws(t, "s3", "cp", "--quiet", file, "s3://backups/late") // somebody else's, meanwhile
		return write(w)
	})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("over what was put there meanwhile: %v", err)
	}
	failed := errors.New("the disk of the service")
	other, err := bucket.Open(t.Context(), "s3://backups/other", bucket.Options{Endpoint: g.url})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Create(t.Context(), func(w io.Writer) error { return errors.Join(write(w), failed) }); !errors.Is(err, failed) {
		t.Error(err)
	}
	if _, err := other.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an upload that was given up: %v", err)
	}
	g.nothingOpen(t)
}

// TestGatewayBackupUnderWritersLosesNothing backs a service up into the bucket, sealed, while eight writers report, and
// restores it into a folder and into a database.
func TestGatewayBackupUnderWritersLosesNothing(t *testing.T) {
	g := startGateway(t)
	s := start(t, t.TempDir())
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte("1e"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	place := func(args ...string) []string { return append(args, "--s3-endpoint", g.url, "--seal-key", key) }
	then := backedUpUnder(t, s, func() {
		t.Log(mustStocktake(t, place("backup", "--data", s.dir, "--to", "s3://backups/a.backup")...))
	})
	g.nothingOpen(t)
	t.Log(mustStocktake(t, place("verify", "--backup", "s3://backups/a.backup")...))
	dir, url := t.TempDir(), pgtest.Database(t)
	mustStocktake(t, place("restore", "--from", "s3://backups/a.backup", "--data", dir)...)
	mustStocktake(t, place("restore", "--from", "s3://backups/a.backup", "--database-url", url)...)
	rootCredentials(t, s, dir)
	holdsAll(t, start(t, dir), then)
	holdsAll(t, startServers(t, binary, killRegion, same(url, 1)).server(0), then)
}

// TestGatewayKilledBackupLeavesNoObject kills backups at random moments: what has the name is whole.
func TestGatewayKilledBackupLeavesNoObject(t *testing.T) {
	g := startGateway(t)
	s := start(t, t.TempDir())
	backedUpUnder(t, s, func() { time.Sleep(300 * time.Millisecond) }) // for something to be there
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d rounds", seed, *rounds)
	random := rand.New(rand.NewPCG(seed, 0))
	whole := 0
	for range *rounds {
		killedAfter(t, time.Duration(random.IntN(600))*time.Millisecond, "backup", "--data", s.dir, "--to", "s3://backups/killed/", "--s3-endpoint", g.url)
	}
	for line := range strings.Lines(g.aws(t, "s3", "ls", "s3://backups/killed/")) {
		fields := strings.Fields(line)
		mustStocktake(t, "verify", "--backup", "s3://backups/killed/"+fields[len(fields)-1], "--s3-endpoint", g.url)
		whole++
	}
	t.Logf("%d of %d were whole before they were killed", whole, *rounds)
	if _, err := stocktake(context.WithoutCancel(t.Context()), "backup", "--data", s.dir, "--to", "s3://backups/last", "--s3-endpoint", g.url); err != nil {
		t.Error(err)
	}
}
