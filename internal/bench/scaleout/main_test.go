package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stocktake/internal/bench"
	"stocktake/internal/pgtest"
)

// TestMain lets the test's own program be the baseline's server, as the benchmark's is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == serveBaseline {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestSidesAnswerTheSame(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "stocktake")
	if out, err := exec.Command("go", "build", "-o", binary, "stocktake/cmd/stocktake").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cluster := pgtest.Shared(t)
	s := settings{
		Options: bench.Options{Nodes: 20, Seed: 1, Workers: 4, Rounds: 1, Samples: 1}, databaseURL: cluster.URL(), binary: binary,
		sides: "baseline,postgres,embedded", memory: 1 << 30, data: t.TempDir(), json: filepath.Join(t.TempDir(), "figures.json"),
	}
	if err := run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.json)
	if err != nil || !strings.Contains(string(text), "report unchanged, hashes only") {
		t.Errorf("figures %q, %v", text, err)
	}
	left, err := cluster.Query(t.Context(), "SELECT datname FROM pg_database WHERE datname LIKE 'scaleout%'")
	if err != nil || strings.TrimSpace(left) != "" {
		t.Errorf("databases left: %q, %v", left, err)
	}
	if s.sides = "baseline,oracle"; run(t.Context(), s) == nil {
		t.Error("a side nobody knows was measured")
	}
}
