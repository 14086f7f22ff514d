package collect

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"stocktake/internal/durable"
	"stocktake/internal/inventory"
)

// state is what is remembered of the last report that one endpoint accepted of one node.
type state struct {
	Node        inventory.NodeID
	Endpoint    string
	Hashes      map[inventory.TypeName]string
	Fingerprint fingerprint
}

const (
	stateFormat   = ".json"
	maxStateBytes = 1 << 20
)

// StateDir is the folder that remembers what was sent: of root /var/lib/stocktake/collect, of others stocktake/collect
// in XDG_STATE_HOME, or in ~/.local/state where that is unset or no absolute path.
func StateDir(uid int, getenv func(string) string) (string, error) {
	if uid == 0 {
		return "/var/lib/stocktake/collect", nil
	}
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "stocktake", "collect"), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", errors.New("no folder for the state of collect: set HOME or XDG_STATE_HOME to an absolute path")
	}
	return filepath.Join(home, ".local", "state", "stocktake", "collect"), nil
}

// statePath names the state's file by the node, and by a digest of the endpoint, which may hold what a name may not.
func statePath(dir string, node inventory.NodeID, endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return filepath.Join(dir, string(node)+"-"+hex.EncodeToString(sum[:8])+stateFormat)
}

// loadState gives the remembered state, and an empty one where there is none. One that cannot be read is an empty one
// too, with the error: the price is a report in full.
func loadState(dir string, node inventory.NodeID, endpoint string) (state, error) {
	empty := state{Node: node, Endpoint: endpoint}
	path := statePath(dir, node, endpoint)
	text, err := readBounded(path, maxStateBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("read the state: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return empty, fmt.Errorf("the state %s is damaged and does not count: %w", path, err)
	}
	if s.Node != node || s.Endpoint != endpoint {
		return empty, fmt.Errorf("the state %s is of another node or endpoint and does not count", path)
	}
	return s, nil
}

// save puts the state in the place of the one before it, whole or not at all, for its owner's eyes.
func (s state) save(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	if err := durable.MakeFolder(dir); err != nil {
		return fmt.Errorf("keep the state: %w", err)
	}
	if err := durable.ReplaceBytes(statePath(dir, s.Node, s.Endpoint), 0o600, text); err != nil {
		return fmt.Errorf("keep the state: %w", err)
	}
	return nil
}
