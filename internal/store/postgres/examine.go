package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is what the store's promises rest on: the database server, as a connection of the store finds it.
type Server struct {
	Version string
	// Settings are those that decide whether what was acknowledged outlives a crash, and for how many servers there is room:
	// fsync, full_page_writes, synchronous_commit, data_checksums, max_connections.
	Settings map[string]string
	// Standby: the server only follows another, and takes no writes.
	Standby bool
	// Encrypted: the connection is under TLS.
	Encrypted bool
	// Ahead is how far the server's clock is ahead of this machine's, to about the time of a round trip.
	Ahead time.Duration
	// Connections is how many the store uses at most.
	Connections int
}

// Examine asks the database server about itself.
func (s *Store) Examine(ctx context.Context) (Server, error) {
	if err := s.enter(ctx); err != nil {
		return Server{}, err
	}
	defer s.leave()
	server := Server{Connections: int(s.pool.Config().MaxConns)}
	err := s.run(ctx, "examine the server", func(ctx context.Context, conn *pgx.Conn) error {
		server.Settings = map[string]string{}
		var now time.Time
		asked := time.Now()
		err := conn.QueryRow(ctx, `SELECT current_setting('server_version'), pg_is_in_recovery(), clock_timestamp(),
			COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)`).Scan(&server.Version, &server.Standby, &now, &server.Encrypted)
		if err != nil {
			return err
		}
		server.Ahead = now.Sub(asked.Add(time.Since(asked) / 2))
		rows, err := conn.Query(ctx, `SELECT name, setting FROM pg_settings WHERE name = ANY($1)`,
			[]string{"fsync", "full_page_writes", "synchronous_commit", "data_checksums", "max_connections"})
		if err != nil {
			return err
		}
		var name, setting string
		_, err = pgx.ForEachRow(rows, []any{&name, &setting}, func() error {
			server.Settings[name] = setting
			return nil
		})
		return err
	})
	return server, err
}
