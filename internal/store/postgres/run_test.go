package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"stocktake/internal/store"
)

// TestErrorsOfTheDatabaseAreJudged: what passes is tried again, what says that this is no primary has its connection dropped,
// and what nobody but the operator can mend is told at once.
func TestErrorsOfTheDatabaseAreJudged(t *testing.T) {
	type verdict struct{ passes, readOnly, refused bool }
	coded := func(code, message string) error { return &pgconn.PgError{Code: code, Message: message} }
	again := verdict{passes: true}
	for _, c := range []struct {
		name string
		err  error
		want verdict
	}{
		{"serialization", coded("40001", ""), again},
		{"a deadlock", coded("40P01", ""), again},
		{"a lock not to be had", coded("55P03", ""), again},
		{"a statement that took too long", coded("57014", ""), again},
		{"shut down by an operator", coded("57P01", ""), again},
		{"crashed", coded("57P02", ""), again},
		{"starting up", coded("57P03", ""), again},
		{"a connection that failed", coded("08006", ""), again},
		{"too many connections", coded("53300", ""), again},
		{"a full disk", coded("53100", ""), again},
		{"a standby", coded("25006", ""), verdict{passes: true, readOnly: true}},
		{"a worker that is away", coded("XX000", "connection to the remote node 10.0.0.2:5432 failed"), again},
		{"a worker that closed", coded("XX000", "server closed the connection unexpectedly"), again},
		{"a fault inside", coded("XX000", "cache lookup failed"), verdict{}},
		{"a value twice", coded("23505", ""), verdict{}},
		{"no such table", coded("42P01", ""), verdict{}},
		{"a code that is none", coded("5", ""), verdict{}},
		{"no code", coded("", ""), verdict{}},
		{"a wrong password", coded("28P01", ""), verdict{refused: true}},
		{"no such database", coded("3D000", ""), verdict{refused: true}},
		{"no right", coded("42501", ""), verdict{refused: true}},
		{"an answer cut short", io.ErrUnexpectedEOF, again},
		{"no answer", io.EOF, again},
		{"a network error", &net.OpError{Op: "read", Err: errors.New("reset")}, again},
		{"a try that took too long", context.DeadlineExceeded, again},
		{"a caller who gave up", context.Canceled, verdict{}},
		{"what was marked", &passing{errors.New("pool")}, again},
		{"a conflict", store.ErrConflict, verdict{}},
	} {
		for how, err := range map[string]error{"": c.err, ", wrapped": fmt.Errorf("read: %w", c.err)} {
			if got := (verdict{passes(err), readOnly(err), refused(err)}); got != c.want {
				t.Errorf("%s%s: judged %+v, want %+v", c.name, how, got, c.want)
			}
		}
	}
	if err := unavailable(io.EOF); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, io.EOF) {
		t.Errorf("a database that does not answer: %v", err)
	}
	if err := unavailable(unavailable(io.EOF)); err.Error() != unavailable(io.EOF).Error() {
		t.Errorf("said twice: %v", err)
	}
}
