package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"stocktake/internal/store/postgres"
)

func addressInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// machine looks at the limits of this process and at the clock.
func (d *doctor) machine() {
	var files syscall.Rlimit
	want := uint64(d.config.MaxConnections) + 1024 // the store's files, and what else is open
	switch err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); {
	case err != nil:
		d.warn("open files", "look at ulimit -n", "their limit cannot be read: %v", err)
	case files.Max < want:
		d.warn("open files", fmt.Sprintf("LimitNOFILE=%d in the unit of the service, or ulimit -n; or a smaller max_connections", want),
			"%d may be open, and max_connections is %d", files.Max, d.config.MaxConnections)
	default:
		d.ok("open files", "%d may be open", files.Max)
	}
	d.clock(time.Now())
}

// The kernel's own words on its clock: adjtimex(2).
const (
	clockError    = 5    // TIME_ERROR
	clockUnsynced = 0x40 // STA_UNSYNC
)

// clock compares the wall clock with the one that only runs, and asks the kernel whether it is kept right.
func (d *doctor) clock(began time.Time) {
	const moment = 200 * time.Millisecond
	time.Sleep(moment)
	now := time.Now()
	wall, steady := now.Round(0).Sub(began.Round(0)), now.Sub(began)
	if jump := wall - steady; jump > moment/4 || jump < -moment/4 {
		d.fail("clock", "look at what sets this machine's clock: several daemons, or a hypervisor", "it was set by %v while it was looked at", jump)
		return
	}
	var kernel syscall.Timex
	state, err := syscall.Adjtimex(&kernel)
	switch {
	case err != nil:
		d.warn("clock", "see that NTP runs", "%s; the kernel does not say whether it is kept right: %v", now.UTC().Format(time.RFC3339), err)
	case state == clockError || kernel.Status&clockUnsynced != 0:
		d.warn("clock", "run chronyd or systemd-timesyncd: requests are refused when clocks differ by five minutes, and retention goes by this one",
			"%s, and by the kernel nothing keeps it right", now.UTC().Format(time.RFC3339))
	default:
		d.ok("clock", "%s, kept right to about %v", now.UTC().Format(time.RFC3339), time.Duration(kernel.Esterror)*time.Microsecond)
	}
}

// folder looks at the data folder.
func (d *doctor) folder() {
	dir := d.config.Data
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		d.parent(dir)
		return
	}
	if err != nil {
		d.fail("data", "give the user of the service the folder, or name another by --data", "%v", err)
		return
	}
	if !info.IsDir() {
		d.fail("data", "name a folder by --data", "%s is no folder", dir)
		return
	}
	d.readers(dir, info)
	d.inside(dir)
	d.room(dir)
}

// parent looks at where a folder is to be made.
func (d *doctor) parent(dir string) {
	above := filepath.Dir(filepath.Clean(dir))
	for above != filepath.Dir(above) {
		if _, err := os.Stat(above); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		above = filepath.Dir(above)
	}
	if err := syscall.Access(above, 2); err != nil { // W_OK
		d.fail("data", "make the folder for the user of the service, or name another by --data", "%s is to be made, and %s cannot be written: %v", dir, above, err)
		return
	}
	d.ok("data", "%s is to be made at the first start", dir)
	d.room(above)
}

// readers looks at who may read a data folder, and whose its files are.
func (d *doctor) readers(dir string, info fs.FileInfo) {
	if err := syscall.Access(dir, 2|4|1); err != nil {
		d.fail("data", "run this, and the service, as its owner", "%s cannot be written and entered: %v", dir, err)
	}
	secret := []string{rootFile, storeFolder, controlFolder, filepath.Join(tlsFolder, "ca-key.pem")}
	loose := ""
	for _, name := range secret {
		if i, err := os.Stat(filepath.Join(dir, name)); err == nil && i.Mode().Perm()&0o077 != 0 {
			loose = name
		}
	}
	switch {
	case loose != "" && info.Mode().Perm()&0o007 != 0:
		d.fail("data", "chmod -R go= "+dir, "others on this machine can read %s in %s: it holds secrets", loose, dir)
	case loose != "":
		d.warn("data", "chmod -R go= "+dir, "%s in %s, which holds secrets, is open to others but for the folder around it", loose, dir)
	}
	d.owners(dir, os.Geteuid())
}

// owners looks at whose the files of the service are: all those of one user, who is this one. What collect keeps in the same
// folder is another's, and so may be a certificate that everybody can read.
func (d *doctor) owners(dir string, uid int) {
	service := uid
	if info, err := os.Stat(filepath.Join(dir, storeFolder)); err == nil && ownerOf(info) >= 0 {
		service = ownerOf(info)
	}
	if service != uid {
		d.warn("data", "run this, and the service, as user "+userName(service), "%s in %s belongs to user %s, and this is user %s",
			storeFolder, dir, userName(service), userName(uid))
	}
	for _, name := range []string{storeFolder, rootFile, indexFolder, tlsFolder, controlFolder} {
		part := filepath.Join(dir, name)
		path, owner := foreignFile(part, service, name == storeFolder)
		if path != "" {
			d.fail("data", fmt.Sprintf("stop the service, and give it its files: chown -R %s %s", userName(service), part),
				"%s belongs to user %s, and the service, user %s, may not be able to open it", path, userName(owner), userName(service))
		}
	}
}

// foreignFile gives a file in a folder, or the file of that name, that belongs to another user than the service: any, or one
// that not everybody can read. None that can be found: "".
func foreignFile(part string, service int, isAny bool) (found string, owner int) {
	// What is not there, gone meanwhile or closed to this user has no owner.
	_ = filepath.WalkDir(part, func(path string, e fs.DirEntry, _ error) error { // no error but the one that ends it
		by, mode := ownerOfEntry(e)
		if by >= 0 && by != service && (isAny || mode.Perm()&0o004 == 0) {
			found, owner = path, by
			return filepath.SkipAll
		}
		return nil
	})
	return found, owner
}

// inside looks at what a data folder holds.
func (d *doctor) inside(dir string) {
	if err := checkRestoring(dir); err != nil {
		d.fail("data", "run the stocktake restore that began it again, with the same file", "%s: %v", dir, err)
		return
	}
	if _, err := os.Stat(filepath.Join(dir, storeFolder)); errors.Is(err, fs.ErrNotExist) {
		if !d.config.shared() {
			d.ok("data", "%s has no store yet; the first start makes it", dir)
		}
		return
	}
	if d.served = isServed(context.Background(), dir); d.served {
		d.ok("data", "%s has a store, and a service runs over it", dir)
	} else {
		d.ok("data", "%s has a store, and no service that answers", dir)
	}
}

// What a disk has to have left.
const (
	leastRoom = 512 << 20
	leastPart = 10 // percent
)

// room looks at the disk of a folder.
func (d *doctor) room(dir string) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		d.warn("disk", "look at df", "the disk of %s cannot be asked: %v", dir, err)
		return
	}
	free, all := disk.Bavail*uint64(disk.Bsize), disk.Blocks*uint64(disk.Bsize)
	text := fmt.Sprintf("%s of %s is free for %s", megabytes(int64(free)), megabytes(int64(all)), dir)
	switch {
	case free < leastRoom:
		d.fail("disk", "make room: at a full disk reports are refused", "%s", text)
	case disk.Files > 0 && disk.Ffree < 1000:
		d.fail("disk", "make room: no more files can be made there", "%s, and room for %d files", text, disk.Ffree)
	case free*100 < all*leastPart:
		d.warn("disk", "make room before it is needed; feed_age decides what the feed takes", "%s, less than %d %%", text, leastPart)
	default:
		d.ok("disk", "%s", text)
	}
}

// soon is how long before its end a certificate is told of.
const soon = 21 * 24 * time.Hour

// certificates looks at what the API is to be served with.
func (d *doctor) certificates(now time.Time) {
	switch c := &d.config; {
	case c.TLSCert != "":
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			d.fail("certificate", "give a certificate and its key, both PEM", "%v", err)
			return
		}
		if info, err := os.Stat(c.TLSKey); err == nil && info.Mode().Perm()&0o007 != 0 {
			d.fail("certificate", "chmod o= "+c.TLSKey, "everybody on this machine can read the key %s", c.TLSKey)
		}
		d.ends(c.TLSCert, pair.Certificate[0], now)
	case c.TLSSelfSigned:
		path := filepath.Join(c.Data, tlsFolder, "ca.pem")
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			d.ok("certificate", "an authority is to be made at the first start")
			return
		}
		block, _ := pem.Decode(text)
		if err != nil || block == nil {
			d.fail("certificate", "restore the folder tls from a backup; or move it away: a new authority is made, which every client has to trust anew",
				"%s holds no certificate (%v)", path, err)
			return
		}
		d.ends(path, block.Bytes, now)
	case c.TLSACME:
		d.acme(now)
	}
}

// acme looks at the certificates that an authority gave out: one that was not renewed in time tells of an authority that no
// longer reaches the service.
func (d *doctor) acme(now time.Time) {
	for _, name := range d.config.TLSNames {
		path := filepath.Join(d.config.Data, tlsFolder, acmeFolder, name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			d.ok("certificate", "one for %s is to be asked for by ACME when a client first connects", name)
			continue
		}
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE" {
				d.ends(path, block.Bytes, now)
				break
			}
		}
		if err != nil {
			d.fail("certificate", "run doctor as the user of the service", "%v", err)
		}
	}
}

func (d *doctor) ends(path string, der []byte, now time.Time) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		d.fail("certificate", "give a certificate that can be read", "%s: %v", path, err)
		return
	}
	until := certificate.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case now.After(certificate.NotAfter):
		d.fail("certificate", "renew it: clients refuse it", "%s ended on %s", path, until)
	case now.Before(certificate.NotBefore):
		d.fail("certificate", "look at the clock: clients refuse it", "%s begins on %s", path, certificate.NotBefore.UTC().Format(time.DateOnly))
	case now.Add(soon).After(certificate.NotAfter):
		d.warn("certificate", "renew it in place: it is read again without a restart", "%s ends on %s", path, until)
	default:
		d.ok("certificate", "%s is good until %s", path, until)
	}
}

// judge looks at the settings a database's promises rest on.
func (d *doctor) judge(s postgres.Server) {
	set := s.Settings
	before := d.warned + d.failed
	for _, name := range []string{"fsync", "full_page_writes"} {
		if set[name] == "off" {
			d.fail("database", "set it to on", "%s is off: a crash of its machine can cost all of it", name)
		}
	}
	switch set["synchronous_commit"] {
	case "off":
		d.fail("database", "set it to on, or to remote_apply with standbys", "synchronous_commit is off: reports that were answered with 200 can be lost in a crash")
	case "local", "remote_write":
		d.warn("database", "on, where a fail-over must lose nothing", "synchronous_commit is %s: a fail-over can lose what was acknowledged", set["synchronous_commit"])
	}
	if set["data_checksums"] == "off" {
		d.warn("database", "pg_checksums --enable, while it is stopped", "data_checksums is off: the database does not see what a disk changed; verify does")
	}
	if n, err := strconv.Atoi(set["max_connections"]); err == nil && n < 2*s.Connections {
		d.warn("database", "raise it, or set pool_max_conns in the URL", "max_connections is %d, and each server uses up to %d", n, s.Connections)
	}
	if s.Standby {
		d.fail("database", "name the primary, or all hosts", "the server is a standby and takes no writes")
	}
	if s.Ahead > time.Second || s.Ahead < -time.Second {
		d.warn("database", "run NTP on both machines", "its clock differs from this machine's by %v", s.Ahead.Round(time.Millisecond))
	}
	if before == d.warned+d.failed {
		d.ok("database", "it keeps what it acknowledges: fsync, full_page_writes, synchronous_commit %s", set["synchronous_commit"])
	}
}
