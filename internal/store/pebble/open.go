package pebble

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Options say where a store is and what it may use.
type Options struct {
	// Dir is the directory, made (0700) if it is not there. It belongs to the store alone.
	Dir string
	// Shards is how many shards a new store has; 0 is store.DefaultShards, or for a store that exists whatever it has.
	Shards int
	// Identity is what a new store is made with, that of a store whose content it is to take over; a store that exists
	// must have just it. Nil makes a random one, and opens any.
	Identity *store.Identity
	// CacheBytes bounds the cache of blocks read; 0 is 64 MiB.
	CacheBytes int64
	// RowBytes bounds the memory for records and small documents kept beside the blocks they are in; 0 is 16 MiB.
	RowBytes int
	// MemTableBytes is the size of one memory table, of which there are a few; 0 is 32 MiB.
	MemTableBytes uint64
	// StallAfter is how long a write waits for a disk that does not answer before it is refused; 0 is 10 seconds.
	StallAfter time.Duration
	// Logger gets what happens; nil is slog.Default.
	Logger *slog.Logger
	// FS is the file system, for tests; nil is the machine's.
	FS vfs.FS
}

// formatVersion is the version of all that is stored: keys, values and what they mean. A store of an older version is read
// as it is and becomes one of this with the first batch written, so that it can be backed up before; only what is written
// from then on is written anew. Programs of before refuse it then: what they know nothing of they could not keep true.
// Version 3 has a journal.
const formatVersion = 3

// engineFormat is the format of Pebble's own files. A newer Pebble keeps writing it until this line is changed, so that
// going back one version of the program is possible.
const engineFormat = engine.FormatValueSeparation

// Open opens the store in a directory, and makes it where there is none. It gives ErrInUse when another process has it,
// ErrCorrupt when it is damaged, and an error in words when a newer version of the program wrote it.
func Open(o Options) (*Store, error) {
	if err := o.parse(); err != nil {
		return nil, err
	}
	s := &Store{
		guard: newGuard(o.FS, o.Logger), stall: newStall(o.StallAfter, o.Logger), dir: o.Dir, log: o.Logger,
		dictionary: newDictionary(), records: newRecords(), rows: newRows(o.RowBytes),
	}
	err := s.guard.during(func() error {
		if err := o.recover(s); err != nil {
			return err
		}
		return s.start()
	})
	if err != nil {
		return nil, fmt.Errorf("store in %s: %w", o.Dir, err)
	}
	return s, nil
}

// parse checks the options and fills in what was left out.
func (o *Options) parse() error {
	if o.Dir == "" {
		return errors.New("a store needs a directory")
	}
	if o.Shards < 0 || o.Shards > 1024 {
		return fmt.Errorf("a store has 1 to 1024 shards, not %d", o.Shards)
	}
	if id := o.Identity; id != nil {
		if err := id.Check(); err != nil {
			return err
		}
		if o.Shards != 0 && o.Shards != id.Shards {
			return fmt.Errorf("the identity is of a store of %d shards, not %d", id.Shards, o.Shards)
		}
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.RowBytes == 0 {
		o.RowBytes = 16 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 32 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	return nil
}

// recover takes the directory and lets Pebble bring back what is in it.
func (o *Options) recover(s *Store) error {
	if err := makeDir(s.guard, o.Dir); err != nil {
		return err
	}
	var err error
	if s.lock, err = s.guard.Lock(o.FS.PathJoin(o.Dir, "LOCK")); err != nil {
		return lockError(err)
	}
	dir, err := o.home(s)
	if err == nil {
		err = checkSeal(s.guard, o.Dir, dir)
	}
	if err == nil {
		s.engine = opener{dir, func(idle bool) (*engine.DB, error) { return o.openEngine(s, dir, true, idle) }}
		s.db, err = s.engine.open(false)
	}
	if err != nil {
		return errors.Join(err, s.lock.Close())
	}
	if err := s.load(o); err != nil {
		return errors.Join(err, s.db.Close(), s.lock.Close())
	}
	return nil
}

// opener opens the engine in a directory. Idle, it begins no work of its own.
type opener struct {
	dir  string
	open func(idle bool) (*engine.DB, error)
}

// home gives the directory of Pebble's files, which in a new store it makes under another name first: a first start that
// is cut short leaves nothing that the next one could take for a store.
func (o *Options) home(s *Store) (string, error) {
	fs := s.guard
	home, making := fs.PathJoin(o.Dir, "db"), fs.PathJoin(o.Dir, "making")
	if err := fs.RemoveAll(making); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if _, err := fs.Stat(home); !errors.Is(err, os.ErrNotExist) {
		return home, err // who renamed it may have been killed before the sync, but Pebble syncs it, too, as it opens it
	}
	if err := fs.MkdirAll(making, 0o700); err != nil {
		return "", err
	}
	db, err := o.openEngine(s, making, false, false)
	if err != nil {
		return "", err
	}
	err = db.Set(keyIdentity, encodeIdentity(o.newIdentity()), engine.Sync)
	if err = errors.Join(err, db.Close(), syncDir(fs, making)); err != nil {
		return "", err
	}
	if err := fs.Rename(making, home); err != nil {
		return "", err
	}
	return home, syncDir(fs, o.Dir)
}

func (o *Options) newIdentity() store.Identity {
	if o.Identity != nil {
		return *o.Identity
	}
	id := store.Identity{Shards: o.Shards}
	if id.Shards == 0 {
		id.Shards = store.DefaultShards
	}
	for _, b := range [][]byte{id.ID[:], id.HashKey[:], id.TokenKey[:], id.RootKey[:]} {
		_, _ = rand.Read(b) // does not fail: it ends the process instead
	}
	return id
}

// makeDir makes a directory that is there after a crash, one after the other down the path: what is there holds what was
// made in it, and only the last may have been made by a process that was killed before it was synced.
func makeDir(g *guard, dir string) error {
	parent := g.PathDir(dir)
	if parent == dir {
		return nil
	}
	if _, err := g.Stat(dir); err == nil {
		return settleDir(g.FS, parent)
	}
	if err := makeDir(g, parent); err != nil {
		return err
	}
	if err := g.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(g, parent)
}

// settleDir syncs a directory that this process has made nothing in. One that it may not open, or whose file system has
// nothing to sync, has nothing in it of a process before it either.
func settleDir(fs vfs.FS, dir string) error {
	err := syncDir(fs, dir)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func lockError(err error) error {
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "lock held") {
		return fmt.Errorf("%w: stop it, or choose another directory", store.ErrInUse)
	}
	return fmt.Errorf("lock: %w", err)
}

const tableFilter = bloom.FilterPolicy(10)

func (o *Options) openEngine(s *Store, dir string, exists, idle bool) (*engine.DB, error) {
	cache := engine.NewCache(o.CacheBytes)
	defer cache.Unref()
	opts := &engine.Options{
		FS: s.guard, Cache: cache, MemTableSize: o.MemTableBytes,
		FormatMajorVersion: engineFormat, ErrorIfNotExists: exists, DisableAutomaticCompactions: idle,
		Logger: logger{s},
		EventListener: &engine.EventListener{
			BackgroundError: func(err error) { s.log.Error("store: background work failed", "error", err) },
			DataCorruption: func(info engine.DataCorruptionInfo) {
				s.log.Error("store: damaged file", "path", info.Path, "error", info.Details)
			},
			WriteStallBegin: func(info engine.WriteStallBeginInfo) { s.log.Warn("store: writes wait", "reason", info.Reason) },
		},
	}
	for i := range opts.Levels {
		l := &opts.Levels[i]
		l.BlockSize = 16 << 10
		l.FilterPolicy = tableFilter
		l.FilterType = engine.TableFilter
	}
	opts.ApplyCompressionSettings(func() engine.DBCompressionSettings { return engine.DBCompressionBalanced })
	db, err := engine.Open(dir, opts)
	switch {
	case err == nil:
		return db, nil
	case engine.IsCorruptionError(err), errors.Is(err, engine.ErrDBDoesNotExist):
		return nil, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return nil, err
}

// logger is what Pebble logs to. Fatalf is for what must not go on: the guard then fails, which no write outlives.
type logger struct{ s *Store }

func (l logger) Infof(format string, args ...any) {
	l.s.log.Debug("store: engine", "message", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.s.log.Error("store: engine", "message", fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.s.log.Error("store: failed for good", "error", err)
	l.s.guard.fail(err)
}

// load reads what is kept in memory.
func (s *Store) load(o *Options) error {
	found, err := get(s.db, keyIdentity, func(value []byte) (err error) {
		s.identity, err = decodeIdentity(value)
		s.older = err == nil && string(value) != string(encodeIdentity(s.identity))
		return err
	})
	if err == nil && !found {
		err = damaged(keyIdentity, errors.New("the identity is missing"))
	}
	if err != nil {
		return err
	}
	if s.older {
		s.log.Warn("store: the release before wrote it, and will refuse it after the first write from here on; to keep a way back, stop now and run `stocktake backup` of that release first",
			"dir", s.dir)
	}
	if o.Shards != 0 && o.Shards != s.identity.Shards {
		return fmt.Errorf("it has %d shards, which were chosen when it was made and cannot become %d", s.identity.Shards, o.Shards)
	}
	if o.Identity != nil && *o.Identity != s.identity {
		return errors.New("it is another store than the one whose identity was asked for: choose an empty directory")
	}
	return s.dictionary.loadFrom(s.db)
}

func (d *dictionary) loadFrom(r engine.Reader) error {
	byNumber := map[uint32]*space{}
	err := each(r, []byte{kindSpace}, []byte{kindSpace + 1}, func(key, value []byte) error {
		number, k, err := decodeSpace(key, value)
		if err != nil {
			return err
		}
		s := newSpace(number)
		s.stored = true
		d.spaces[k], byNumber[number] = s, s
		d.next = max(d.next, number+1)
		return nil
	})
	if err != nil {
		return err
	}
	err = each(r, []byte{kindShapeID}, []byte{kindShapeID + 1}, func(key, value []byte) error {
		number, n, err := parseShapeRowKey(key)
		s := byNumber[number]
		var id inventory.ShapeID
		if err != nil || s == nil || len(value) != copy(id[:], value) {
			return errors.New("the row of a shape does not fit")
		}
		s.load(n, id)
		return nil
	})
	for _, s := range byNumber {
		s.loaded()
	}
	return err
}

// start reads where the feed and the counters stand and lets the committer run.
func (s *Store) start() error {
	c := &committer{
		s: s, queue: make(chan *request, 64), ended: make(chan struct{}),
		room:    room{fs: s.guard, dir: s.dir},
		heads:   make([]inventory.Position, s.identity.Shards),
		tails:   make([]uint64, s.identity.Shards),
		readers: map[string][]uint64{},
		fences:  map[string]uint64{},
		lately:  newLately(), nodes: map[string]*commit{},
	}
	s.committer = c
	if err := c.load(); err != nil {
		return errors.Join(err, s.db.Close(), s.lock.Close())
	}
	go c.run()
	return nil
}

// load reads the committer's own state and makes the first view.
func (c *committer) load() error {
	db := c.s.db
	_, err := get(db, keyCounters, func(value []byte) (err error) {
		c.counters, err = decodeCounters(value)
		return err
	})
	if err != nil {
		return err
	}
	if _, err = get(db, keyRecords, c.setRecordsID); err != nil {
		return err
	}
	err = each(db, []byte{kindReader}, []byte{kindReader + 1}, func(key, value []byte) error {
		read, err := decodeReader(value)
		if err == nil && len(read) != len(c.heads) {
			err = fmt.Errorf("it has %d sequences for %d shards", len(read), len(c.heads))
		}
		c.readers[string(key[1:])] = read
		return err
	})
	if err != nil {
		return err
	}
	err = each(db, []byte{kindFence}, []byte{kindFence + 1}, func(key, value []byte) (err error) {
		c.fences[string(key[1:])], err = decodeFence(value)
		return err
	})
	if err != nil {
		return err
	}
	if err := c.loadJournal(); err != nil {
		return err
	}
	for shard := range c.heads {
		if err := c.findEnds(shard); err != nil {
			return err
		}
	}
	c.publish()
	return nil
}

// setRecordsID reads the id of the records' head. A store that an earlier version wrote to last has none, or that of an
// earlier sequence.
func (c *committer) setRecordsID(value []byte) error {
	if len(value) != copy(c.recordsID[:], value) || len(value) != len(c.recordsID) {
		return fmt.Errorf("id of %d bytes", len(value))
	}
	return nil
}

// findEnds finds a shard's oldest and newest change.
func (c *committer) findEnds(shard int) (err error) {
	prefix := shardKey(kindChange, shard)
	c.tails[shard] = 1
	it, err := c.s.db.NewIter(&engine.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)})
	if err != nil {
		return damaged(prefix, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if it.First() {
		if c.tails[shard], err = parseChangeKey(it.Key()); err != nil {
			return err
		}
	}
	if it.Last() {
		value, err := it.ValueAndErr()
		if err != nil {
			return damaged(it.Key(), err)
		}
		head := &c.heads[shard]
		if head.Seq, err = parseChangeKey(it.Key()); err != nil {
			return err
		}
		d := newDecoder(value)
		if copy(head.ID[:], d.bytes(len(head.ID))); d.err != nil {
			return damaged(it.Key(), d.err)
		}
	}
	if err := it.Error(); err != nil {
		return damaged(prefix, err)
	}
	return nil
}
