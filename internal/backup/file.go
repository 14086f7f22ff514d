package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"stocktake/internal/transfer"
)

// Save makes a file of what write writes, readable by its owner alone, sealed where there is a key. It has another name
// (.NAME.*.partial, beside it) until it is whole, on disk, and read back by Check; a file that is there is left as it is
// (fs.ErrExist). What is cut short leaves no file, or by SIGKILL the one with the other name, which nothing takes for a
// backup and anybody may remove.
func Save(ctx context.Context, path string, key *SealKey, write func(io.Writer) error, o transfer.Options) (summary Summary, err error) {
	if err := absent(path); err != nil {
		return summary, err
	}
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+name+".*.partial")
	if err != nil {
		return summary, err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err == nil {
			return
		}
		if failed := os.Remove(f.Name()); !errors.Is(failed, fs.ErrNotExist) { // it may have its name by now
			err = errors.Join(err, failed)
		}
	}()
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := sealing(buffered, key, write); err != nil {
		return summary, err
	}
	if err := errors.Join(buffered.Flush(), f.Sync()); err != nil {
		return summary, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return summary, err
	}
	o.Progress = telling(o.Progress, transfer.Verifying)
	if summary, err = Check(ctx, bufio.NewReaderSize(Unseal(f, key), 1<<20), o); err != nil {
		return summary, fmt.Errorf("what was written does not read back: %w", err)
	}
	if err := absent(path); err != nil {
		return summary, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return summary, err
	}
	return summary, syncDir(dir)
}

// sealing has write write what is sealed on its way to w, where there is a key.
func sealing(w io.Writer, key *SealKey, write func(io.Writer) error) error {
	if key == nil {
		return write(w)
	}
	sealed, err := Seal(w, key)
	if err != nil {
		return err
	}
	if err := write(sealed); err != nil {
		return err
	}
	return sealed.Close()
}

// Pass hands what write writes on to w, sealed where there is a key, and checks what passes by. An error of it is to undo
// what w became.
func Pass(ctx context.Context, w io.Writer, key *SealKey, write func(io.Writer) error, o transfer.Options) (summary Summary, err error) {
	r, in := io.Pipe()
	go func() {
		buffered := bufio.NewWriterSize(in, 1<<16)
		err := write(buffered)
		if err == nil {
			err = buffered.Flush()
		}
		_ = in.CloseWithError(err) // gives no error
	}()
	err = sealing(w, key, func(w io.Writer) (err error) {
		summary, err = Check(ctx, io.TeeReader(r, w), o)
		return err
	})
	_ = r.CloseWithError(err) // gives no error
	return summary, err
}

func absent(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// telling tells of whatever is done as of a phase.
func telling(tell func(transfer.Progress), phase transfer.Phase) func(transfer.Progress) {
	if tell == nil {
		return nil
	}
	return func(p transfer.Progress) {
		p.Phase = phase
		tell(p)
	}
}
