package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"stocktake/internal/store"
)

// checkOwner refuses to open the store of a data folder, or to make one there, where it belongs to another user: the files
// made by this one might be closed to the service, which would then not start again. One that a service has is ErrInUse: its
// process can be asked.
func checkOwner(ctx context.Context, data string) error {
	by := writer{uid: os.Geteuid(), makes: ownerOfNew}
	owner, err := by.foreign(data)
	if err != nil || owner < 0 {
		return err
	}
	if isServed(ctx, data) {
		return fmt.Errorf("the store in %s: %w", data, store.ErrInUse)
	}
	return by.refusal(data, owner)
}

// writer is who would write to a folder. makes gives the user that what it makes in a folder belongs to.
type writer struct {
	uid   int
	makes func(dir string) (int, error)
}

// foreign gives the user whom a data folder's store belongs to, where it is another than the writer and that makes a
// difference; else -1. A folder without a store counts itself, for root: others are given volumes that belong to root.
func (w writer) foreign(data string) (int, error) {
	info, err := os.Stat(filepath.Join(data, storeFolder))
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil {
		info, err = os.Stat(data)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil // it is made
	}
	if err != nil {
		return -1, err
	}
	owner := ownerOf(info)
	const group = 0o020 // may write: the folder is shared, as volumes of Kubernetes are by fsGroup
	if owner < 0 || owner == w.uid || w.uid != 0 && (isNew || info.Mode().Perm()&group != 0) {
		return -1, nil
	}
	if made, err := w.makes(data); err == nil && made == owner {
		return -1, nil // the file system gives all files to one user
	}
	return owner, nil
}

func (w writer) refusal(data string, owner int) error {
	by, theirs := userName(w.uid), userName(owner)
	as := "sudo -u " + theirs
	if w.uid == 0 {
		as = "runuser -u " + theirs + " --"
	}
	return fmt.Errorf("the store in %s belongs to user %s, and this is user %s, whose files %s may not be able to read\nhint: run it as %s: %s stocktake ...\n"+
		"hint: or, where the service runs as %s, stop it and give it the folder: chown -R %s %s", data, theirs, by, theirs, theirs, as, by, by, data)
}

// ownerOf gives the user a file belongs to, -1 where that is not known.
func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// ownerOfEntry gives the user a file that a walk came by belongs to, -1 where that is not known, and the file's mode.
func ownerOfEntry(e fs.DirEntry) (int, fs.FileMode) {
	if e == nil {
		return -1, 0
	}
	info, err := e.Info()
	if err != nil {
		return -1, 0
	}
	return ownerOf(info), info.Mode()
}

// ownerOfNew makes something in a folder, looks whose it is, and takes it away again.
func ownerOfNew(dir string) (owner int, err error) {
	probe, err := os.MkdirTemp(dir, ".owner-*")
	if err != nil {
		return -1, err
	}
	info, err := os.Stat(probe)
	if err = errors.Join(err, os.Remove(probe)); err != nil {
		return -1, err
	}
	return ownerOf(info), nil
}

// userName gives the name of a user of this machine, else the number.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
