package replica

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"stocktake/internal/index"
)

// snapshotName is the snapshot's file in the folder; a new one is written beside it and renamed over it.
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
func (r *Replica) Snapshot() (err error) {
	r.snapshots.Lock()
	defer r.snapshots.Unlock()
	taken := r.changes.Load()
	if err := os.MkdirAll(r.opt.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(r.opt.Dir, snapshotName+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write snapshot: %w", err), os.Remove(f.Name()))
		}
	}()
	if err := writeSynced(f, r.index); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(r.opt.Dir, snapshotName)); err != nil {
		return err
	}
	r.changes.Add(-taken)
	r.snapshotAt.Store(time.Now().Unix())
	return syncDir(r.opt.Dir)
}

func writeSynced(f *os.File, idx *index.Index) error {
	w := bufio.NewWriterSize(f, 1<<20)
	err := idx.WriteSnapshot(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
