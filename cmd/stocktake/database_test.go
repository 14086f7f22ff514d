package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"stocktake/internal/pgtest"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/storetest"
	"stocktake/internal/transfer"
)

// TestDatabaseScripts runs testdata/database: several servers over one database, as people type it. Each script has a
// database, and the addresses of two servers.
func TestDatabaseScripts(t *testing.T) {
	t.Parallel()
	builtProgram(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/database",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DATABASE", pgtest.Database(t))
			for _, name := range []string{"API", "ADMIN", "API2", "ADMIN2"} {
				address, err := freeAddress()
				if err != nil {
					return err
				}
				env.Setenv(name, address)
			}
			for name, value := range map[string]string{
				"STOCKTAKE_ROOT_ACCESS_KEY_ID": movedKey, "STOCKTAKE_ROOT_SECRET_ACCESS_KEY": movedSecret,
				"AWS_ACCESS_KEY_ID": movedKey, "AWS_SECRET_ACCESS_KEY": movedSecret, "AWS_DEFAULT_REGION": "us-east-1",
				"HOME": os.Getenv("HOME"), "AWS_EC2_METADATA_DISABLED": "true",
			} {
				env.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"ready":   awaitReady,
			"unready": awaitReason,
			"metrics": readMetrics,
		},
	})
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// awaitReady waits until the server with this admin address is ready.
func awaitReady(ts *testscript.TestScript, _ bool, args []string) {
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		status, body, err := get("http://" + args[0] + "/readyz")
		if err == nil && status == http.StatusOK {
			return
		}
		last = body
	}
	ts.Fatalf("%s is not ready: %s", args[0], last)
}

// awaitReason waits until the server with this admin address says that it is not ready for a reason that matches.
func awaitReason(ts *testscript.TestScript, _ bool, args []string) {
	why := regexp.MustCompile(args[1])
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		status, body, err := get("http://" + args[0] + "/readyz")
		if err == nil && status == http.StatusServiceUnavailable && why.MatchString(body) {
			return
		}
		last = body
	}
	ts.Fatalf("%s does not say that it is not ready for this reason: %s", args[0], last)
}

// readMetrics gives the metrics of the server with this admin address as the script's standard output.
func readMetrics(ts *testscript.TestScript, _ bool, args []string) {
	_, body, err := get("http://" + args[0] + "/metrics")
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), body)
	ts.Check(err)
}

func get(url string) (status int, body string, err error) {
	response, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// broken is a target whose disk is full of nodes.
type broken struct{ storage }

func (broken) LoadNodes(context.Context, int, []store.NodeScan) error {
	return errors.New("no space left on device")
}

func TestServeRefusesUnfinishedCopy(t *testing.T) {
	ctx := t.Context()
	from, err := memory.New(4)
	if err != nil {
		t.Fatal(err)
	}
	source := storetest.NewSource(1)
	if _, err := storetest.NewWriter(from).Report(ctx, storetest.Node(1), storetest.Epoch, source.Item(3)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	to, err := openLike(ctx, dir, from.Identity(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Copy(ctx, from, broken{to}, transfer.Options{}); err == nil {
		t.Fatal("a copy into a full disk ended well")
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin-listen", ""}, nil, &stdout, &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if text := stderr.String(); !strings.Contains(text, "copy that did not end") || !strings.Contains(text, "hint: run the stocktake copy or restore that began it again") {
		t.Errorf("it said %q", text)
	}
	if _, err := os.Stat(filepath.Join(dir, rootFile)); err == nil {
		t.Error("it made root credentials all the same")
	}
}
