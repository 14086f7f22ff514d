package replica

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/store"
)

// A shared snapshot is a magic, when it was written (Unix seconds, 8 bytes, little-endian, by its writer's clock), and
// the snapshot as a file has it.
const sharedMagic = "STKSHRD\x01"

const (
	// sharedMuch is how many changes are worth a shared snapshot when a server stops.
	sharedMuch = 1000
	// sharedPause is how old the one kept must be then: servers are often stopped one after the other.
	sharedPause = time.Minute
)

// errHead ends reading after the head of a shared snapshot.
var errHead = errors.New("the head is read")

// loadShared makes the index of the snapshot the store keeps.
func (r *Replica) loadShared(ctx context.Context) error {
	if r.opt.Shared == nil {
		return errors.New("no shared snapshots are set")
	}
	return r.opt.Shared.LoadSnapshot(ctx, func(rd io.Reader) (err error) {
		buffered := bufio.NewReaderSize(rd, 1<<20)
		if _, err := readSharedHead(buffered); err != nil {
			return err
		}
		r.index, err = index.ReadSnapshot(buffered, r.indexConfig())
		return err
	})
}

func readSharedHead(rd io.Reader) (written time.Time, err error) {
	head := make([]byte, len(sharedMagic)+8)
	if _, err := io.ReadFull(rd, head); err != nil {
		return time.Time{}, fmt.Errorf("%w: it is cut short: %w", index.ErrSnapshot, err)
	}
	if string(head[:len(sharedMagic)]) != sharedMagic {
		return time.Time{}, fmt.Errorf("%w: it is of another version", index.ErrSnapshot)
	}
	return time.Unix(int64(binary.LittleEndian.Uint64(head[len(sharedMagic):])), 0), nil
}

// saveShared writes the shared snapshot unless the one kept is younger than a time. One from the future, by this server's
// clock, is of no age that can be trusted and is replaced.
func (r *Replica) saveShared(ctx context.Context, unlessYounger time.Duration) error {
	var written time.Time
	err := r.opt.Shared.LoadSnapshot(ctx, func(rd io.Reader) (err error) {
		if written, err = readSharedHead(rd); err == nil {
			err = errHead
		}
		return err
	})
	switch {
	case errors.Is(err, errHead):
		if age := time.Since(written); age >= 0 && age < unlessYounger {
			return nil
		}
	case errors.Is(err, store.ErrNotFound), errors.Is(err, index.ErrSnapshot):
	default:
		return err
	}
	started, taken := time.Now(), r.shared.Load()
	var size atomic.Int64
	err = r.opt.Shared.SaveSnapshot(ctx, func(w io.Writer) error {
		head := binary.LittleEndian.AppendUint64([]byte(sharedMagic), uint64(started.Unix()))
		out := bufio.NewWriterSize(counting{w, &size}, 1<<20)
		_, err := out.Write(head)
		if err == nil {
			err = r.index.WriteSnapshot(out)
		}
		if err == nil {
			err = out.Flush()
		}
		return err
	})
	if err != nil {
		return err
	}
	r.shared.Add(-taken)
	r.log.Info("shared snapshot written", "bytes", size.Load(), "duration", time.Since(started))
	return nil
}

// counting counts what is written.
type counting struct {
	w io.Writer
	n *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// keepShared writes the shared snapshot now and then, each server at a time of its own: it is the turn of the one that
// comes first after the one kept has grown old.
func (r *Replica) keepShared(ctx context.Context, atOnce bool) {
	wait := rand.N(r.opt.SharedEvery)
	for {
		if atOnce {
			if err := r.saveShared(ctx, r.opt.SharedEvery); err != nil && ctx.Err() == nil {
				r.log.Warn("shared snapshot not written; servers without one of their own read the store instead", "error", err)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait, atOnce = r.opt.SharedEvery, r.shared.Load() > 0
	}
}
