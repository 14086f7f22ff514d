package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"stocktake/internal/store"
)

// The versions of the tables. Migrations expand, then contract: one adds what the next program needs and takes nothing away
// that this one uses, and only when no server of before is left a later one removes. So servers of two neighbouring
// releases may serve one database while it is rolled over, and either may be started anew meanwhile.
//
// The store's identity says both sides of this: the version its tables are of, for a program that needs newer ones; and the
// least that a program must know, which a migration raises when it takes away what older ones use.
const (
	// newestVersion is what this program makes of the tables, and the newest that it knows.
	newestVersion = 2
	// oldestVersion is the oldest that has all this program uses.
	oldestVersion = 2
	// sharedVersion is the oldest program, by the newest version it knows, that can use the tables as this one makes them.
	sharedVersion = 1
)

//go:embed migrations/*.sql
var migrations embed.FS

// tables are all that Citus distributes, the first being what the others lie beside.
var tables = []string{
	"head", "identity", "node", "document", "change", "shape", "reader", "fence", "record", "record_head", "snapshot", "snapshot_part",
	"journal_head", "journal_line", "intention",
}

// migrateCommand is what to do about tables that are not there, or too old.
const migrateCommand = "run `stocktake migrate --database-url ...`"

// MigrateOptions say what the store of a database is to be like.
type MigrateOptions struct {
	// Shards is for a database without a store: 1 to 1024, store.DefaultShards unless given.
	Shards int
	// Identity, if not nil, is taken over by a database without a store, for a copy of another. One that has a store must
	// have just this identity.
	Identity *store.Identity
	// Log hears of each step in words; nil for nobody.
	Log func(format string, args ...any)
}

// Migrate makes the tables, or brings them to the newest version this program knows; it changes nothing that is as it
// should be, and may run beside itself and beside servers of the release before. It needs the right to create a schema in
// the database the first time, and no extension; where Citus is one, the tables are distributed.
func Migrate(ctx context.Context, url string, options MigrateOptions) error {
	config, err := parseURL(url)
	if err != nil {
		return err
	}
	if options.Log == nil {
		options.Log = func(string, ...any) {}
	}
	// Changing a table may take longer than any statement of a server may, and has to wait for those; and nothing here is
	// run often enough to have its one plan.
	for name := range settings {
		if name == "application_name" {
			continue
		}
		delete(config.ConnConfig.RuntimeParams, name)
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return unavailable(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := makeSchema(ctx, conn); err != nil {
		return fmt.Errorf("make the schema: %w", err)
	}
	version, err := migrateTables(ctx, config.ConnConfig, options)
	if err != nil {
		return err
	}
	if err := distribute(ctx, conn, options); err != nil {
		return err
	}
	return settle(ctx, conn, version, options)
}

// makeSchema makes the schema the tables are in. Two that make it at once meet in the system's catalogue, and the second
// finds it made when it tries again.
func makeSchema(ctx context.Context, conn *pgx.Conn) error {
	for i := 0; ; i++ {
		var there bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'stocktake')`).Scan(&there); err != nil || there {
			return err
		}
		_, err := conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS stocktake`)
		var pg *pgconn.PgError
		if i > 5 || !errors.As(err, &pg) || pg.Code != "23505" && pg.Code != "42P06" {
			return err
		}
	}
}

func migrateTables(ctx context.Context, config *pgx.ConnConfig, options MigrateOptions) (version int64, err error) {
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, err
	}
	versions, err := database.NewStore(database.DialectPostgres, "stocktake.migration")
	if err != nil {
		return 0, err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 60))
	if err != nil {
		return 0, err
	}
	provider, err := goose.NewProvider(goose.DialectCustom, db, files,
		goose.WithStore(versions), goose.WithSessionLocker(locker), goose.WithSlog(slog.New(slog.DiscardHandler)), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, err
	}
	// A newer program's tables are not for this one to touch.
	if version, err := provider.GetDBVersion(ctx); err != nil {
		return 0, fmt.Errorf("read the version of the tables: %w", err)
	} else if version > newestVersion {
		return 0, tooNew(version)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	for _, r := range done {
		options.Log("migrated to version %d in %s", r.Source.Version, r.Duration.Round(time.Millisecond))
	}
	return provider.GetDBVersion(ctx)
}

func tooOld(version int64) error {
	return fmt.Errorf("the tables are of version %d and this program needs %d or newer: %s", version, oldestVersion, migrateCommand)
}

func tooNew(version int64) error {
	return fmt.Errorf("the tables are of version %d and this program knows none above %d: use a newer stocktake", version, newestVersion)
}

func hasCitus(ctx context.Context, conn *pgx.Conn) (there bool, err error) {
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')`).Scan(&there)
	return there, err
}

// distributing is the number of the advisory lock of a connection that hands tables to Citus, of which no two may at once.
const distributing = 0x73746f636b74616b

// distribute hands the tables that are not yet to Citus, where that is. Its lock ends with the connection.
func distribute(ctx context.Context, conn *pgx.Conn, options MigrateOptions) error {
	if there, err := hasCitus(ctx, conn); err != nil || !there {
		return err
	}
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(distributing)); err != nil {
		return err
	}
	for i, table := range tables {
		name, beside := "stocktake."+table, "none"
		if i > 0 {
			beside = "stocktake." + tables[0]
		}
		var there bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = to_regclass($1))`, name).Scan(&there); err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := conn.Exec(ctx, `SELECT create_distributed_table($1::text::regclass, 'shard', colocate_with => $2)`, name, beside); err != nil {
			return fmt.Errorf("distribute %s: %w", name, err)
		}
		options.Log("distributed %s by shard", name)
	}
	return nil
}

// settle makes what a store has from the beginning, and notes the version where every server finds it.
func settle(ctx context.Context, conn *pgx.Conn, version int64, options MigrateOptions) error {
	want, err := options.identity()
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `INSERT INTO stocktake.journal_head (shard, seq)
		SELECT s, 0 FROM generate_series(0, $1::int4 - 1) s ON CONFLICT (shard) DO NOTHING`, store.JournalChains); err != nil {
		return err
	}
	tag, err := conn.Exec(ctx, `INSERT INTO stocktake.identity (shard, version, tables, id, shards, hash_key, token_key, root_key)
		VALUES (0, $1, $2, $3, $4, $5, $6, $7) ON CONFLICT (shard) DO NOTHING`,
		sharedVersion, version, want.ID[:], want.Shards, want.HashKey[:], want.TokenKey[:], want.RootKey[:])
	if err != nil {
		return err
	}
	if tag.RowsAffected() > 0 {
		options.Log("made the store %x of %d shards", want.ID, want.Shards)
	}
	// Servers go by this: what the tables of before did not have has to be there.
	if _, err := conn.Exec(ctx, `UPDATE stocktake.identity SET version = GREATEST(version, $1), tables = GREATEST(tables, $2)
		WHERE shard = 0 AND (version < $1 OR tables < $2)`, sharedVersion, version); err != nil {
		return err
	}
	got, err := readIdentity(ctx, conn)
	if err != nil {
		return err
	}
	if options.Identity != nil && got != *options.Identity {
		return errors.New("the database holds another store: copy into an empty one")
	}
	if options.Shards != 0 && options.Shards != got.Shards {
		return fmt.Errorf("the store has %d shards, which never changes, and was asked to have %d", got.Shards, options.Shards)
	}
	if _, err := conn.Exec(ctx, `INSERT INTO stocktake.head (shard, seq, id, epoch)
		SELECT s, 0, $2::bytea, 1 FROM generate_series(0, $1::int4 - 1) s ON CONFLICT (shard) DO NOTHING`, got.Shards, make([]byte, 8)); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `INSERT INTO stocktake.record_head (shard, seq, id) VALUES (0, 0, $1) ON CONFLICT (shard) DO NOTHING`, make([]byte, 8)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `INSERT INTO stocktake.snapshot (shard, generation, parts) VALUES (0, 0, 0) ON CONFLICT (shard) DO NOTHING`)
	return err
}

// identity is the one of a store that is made now.
func (o MigrateOptions) identity() (store.Identity, error) {
	if o.Identity != nil {
		return *o.Identity, o.Identity.Check()
	}
	id := store.Identity{Shards: cmp.Or(o.Shards, store.DefaultShards)}
	for _, b := range [][]byte{id.ID[:], id.HashKey[:], id.TokenKey[:], id.RootKey[:]} {
		_, _ = rand.Read(b) // does not fail: it ends the process instead
	}
	return id, id.Check()
}

// readIdentity reads what a store is given once, and refuses tables this program cannot work with.
func readIdentity(ctx context.Context, conn *pgx.Conn) (id store.Identity, err error) {
	var version, tables int64
	var idBytes, hashKey, tokenKey, rootKey []byte
	err = conn.QueryRow(ctx, `SELECT version, tables, id, shards, hash_key, token_key, root_key FROM stocktake.identity WHERE shard = 0`).
		Scan(&version, &tables, &idBytes, &id.Shards, &hashKey, &tokenKey, &rootKey)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000"), errors.Is(err, pgx.ErrNoRows):
		return id, fmt.Errorf("the database holds no store yet: %s", migrateCommand)
	case errors.As(err, &pg) && pg.Code == "42703": // the first version had no such column
		return id, tooOld(1)
	case err != nil:
		return id, err
	case version > newestVersion:
		return id, tooNew(version)
	case tables < oldestVersion:
		return id, tooOld(tables)
	}
	for _, f := range []struct{ to, from []byte }{{id.ID[:], idBytes}, {id.HashKey[:], hashKey}, {id.TokenKey[:], tokenKey}, {id.RootKey[:], rootKey}} {
		if len(f.to) != len(f.from) {
			return id, damaged("the store's identity", errors.New("a key has not the length it should"))
		}
		copy(f.to, f.from)
	}
	return id, nil
}
