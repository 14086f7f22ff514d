package replica

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"stocktake/internal/durable"
	"stocktake/internal/index"
)

// snapshotName is the snapshot's file in the folder.
const snapshotName = "index.snapshot"

func (r *Replica) loadSnapshot(context.Context) (err error) {
	if r.opt.Dir == "" {
		return errors.New("no folder for snapshots is set")
	}
	f, err := os.Open(filepath.Join(r.opt.Dir, snapshotName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r.index, err = index.ReadSnapshot(bufio.NewReaderSize(f, 1<<20), r.indexConfig())
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	r.snapshotAt.Store(info.ModTime().Unix())
	return nil
}

// Snapshot writes the index beside the store, so that the next start need not read all of it. It replaces the snapshot
// before only when it is whole and on disk.
func (r *Replica) Snapshot() error {
	r.snapshots.Lock()
	defer r.snapshots.Unlock()
	taken := r.changes.Load()
	if err := durable.MakeFolder(r.opt.Dir); err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(r.opt.Dir, snapshotName), 0o600, r.writeIndex); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	r.changes.Add(-taken)
	r.snapshotAt.Store(time.Now().Unix())
	return nil
}

func (r *Replica) writeIndex(to io.Writer) error {
	w := bufio.NewWriterSize(to, 1<<20)
	if err := r.index.WriteSnapshot(w); err != nil {
		return err
	}
	return w.Flush()
}

// SnapshotAge is the time since the newest snapshot was written; 0 where there is none.
func (r *Replica) SnapshotAge() time.Duration {
	at := r.snapshotAt.Load()
	if at == 0 {
		return 0
	}
	return time.Since(time.Unix(at, 0))
}

// keepSnapshot writes snapshots while changes come in, the first at once where there was none to start from. A failure is
// logged: the store has the truth.
func (r *Replica) keepSnapshot(ctx context.Context, atOnce bool) {
	if r.opt.Dir != "" {
		r.removeLeftovers()
	}
	if r.opt.Dir == "" || r.opt.Every < 0 {
		return
	}
	tick := time.NewTicker(r.opt.Every)
	defer tick.Stop()
	for {
		if atOnce || r.changes.Load() > 0 {
			if err := r.Snapshot(); err != nil {
				r.log.Error("snapshot not written; the next start reads the store instead", "error", err)
			}
		}
		atOnce = false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// removeLeftovers drops half-written snapshots of a process that died.
func (r *Replica) removeLeftovers() {
	old, _ := filepath.Glob(filepath.Join(r.opt.Dir, snapshotName+".*.tmp")) // the pattern is well formed
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			r.log.Warn("half-written snapshot not removed", "error", err)
		}
	}
}
