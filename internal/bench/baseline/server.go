package baseline

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
)

// connections is how many connections the server keeps at most.
const connections = 20

// tables keeps documents as PostgreSQL's own manual would have it. Rows have room to be touched in place, and a document's
// key serves both its node's report and the walk over a type in the order of nodes.
const tables = `
CREATE TABLE doc (
	node text COLLATE "C" NOT NULL,
	type text COLLATE "C" NOT NULL,
	hash text NOT NULL,
	schema_version text NOT NULL,
	captured text NOT NULL,
	content jsonb NOT NULL,
	PRIMARY KEY (node, type)
) WITH (fillfactor = 85);
CREATE INDEX doc_type ON doc (type, node);
CREATE INDEX doc_content ON doc USING gin (content jsonb_path_ops);`

// Server answers requests. It may be used by many goroutines at once.
type Server struct{ pool *pgxpool.Pool }

// New connects to a database that Create was called for.
func New(ctx context.Context, url string) (*Server, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = connections, connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return &Server{pool}, nil
}

// Close gives back the connections.
func (s *Server) Close() { s.pool.Close() }

// refusal is an answer of 400 by the name of the service's error.
type refusal string

func (r refusal) Error() string { return string(r) }

// Answer answers one action, with a status of HTTP and a body.
func (s *Server) Answer(ctx context.Context, action string, body []byte) (status int, answer []byte) {
	var err error
	switch action {
	case "PutInventory":
		answer, err = s.putInventory(ctx, body)
	case "ListInventoryEntries":
		answer, err = s.listInventoryEntries(ctx, body)
	case "GetInventory":
		answer, err = s.getInventory(ctx, body)
	default:
		err = refusal("UnknownOperationException")
	}
	if err == nil {
		return http.StatusOK, answer
	}
	name := "InternalServerError"
	status = http.StatusInternalServerError
	if refused, ok := errors.AsType[refusal](err); ok {
		status, name = http.StatusBadRequest, string(refused)
	}
	return status, fmt.Appendf(nil, `{"__type":%q,"message":%q}`, name, err.Error())
}
