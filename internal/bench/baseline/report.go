package baseline

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const (
	selectHashes = `SELECT type, hash FROM doc WHERE node = $1`

	upsert = `INSERT INTO doc (node, type, hash, schema_version, captured, content)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])
ON CONFLICT (node, type) DO UPDATE SET hash = excluded.hash, schema_version = excluded.schema_version,
	captured = excluded.captured, content = excluded.content`

	// touch takes what is unchanged: a document whose hash is another one stays as it is and is not counted.
	touch = `UPDATE doc SET schema_version = u.schema_version, captured = u.captured
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS u (type, hash, schema_version, captured)
WHERE doc.node = $1 AND doc.type = u.type AND doc.hash = u.hash`
)

// columns are the values of several items, one slice a column.
type columns struct {
	types, hashes, versions, captured []string
	contents                          [][]byte
}

func (c *columns) add(it item) {
	c.types, c.hashes = append(c.types, it.typeName), append(c.hashes, it.hash)
	c.versions, c.captured = append(c.versions, it.schemaVersion), append(c.captured, it.captured)
	c.contents = append(c.contents, it.content)
}

// putInventory stores a report. Items without content must have the hash that is stored.
func (s *Server) putInventory(ctx context.Context, body []byte) ([]byte, error) {
	r, err := scanReport(body)
	if err != nil {
		return nil, err
	}
	known, err := s.known(ctx, r)
	if err != nil {
		return nil, err
	}
	var changed, same columns
	for _, it := range r.items {
		if it.content != nil && (it.hash == "" || known[it.typeName] != it.hash) {
			changed.add(it)
		} else {
			same.add(it)
		}
	}
	if len(changed.types) == 0 {
		tag, err := s.pool.Exec(ctx, touch, r.node, same.types, same.hashes, same.versions, same.captured)
		if err == nil && tag.RowsAffected() < int64(len(same.types)) {
			err = refusal("ItemContentMismatchException")
		}
		return []byte("{}"), err
	}
	return []byte("{}"), s.store(ctx, r.node, changed, same)
}

// known gives the hashes stored for the node's documents, and asks for them only where the report has content.
func (s *Server) known(ctx context.Context, r report) (map[string]string, error) {
	if !r.hasContent {
		return nil, nil
	}
	rows, err := s.pool.Query(ctx, selectHashes, r.node)
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	var name, hash string
	_, err = pgx.ForEachRow(rows, []any{&name, &hash}, func() error { known[name] = hash; return nil })
	return known, err
}

// store writes what changed and touches the rest, in one transaction and one round trip.
func (s *Server) store(ctx context.Context, node string, changed, same columns) error {
	var b pgx.Batch
	b.Queue(upsert, node, changed.types, changed.hashes, changed.versions, changed.captured, changed.contents)
	if len(same.types) > 0 {
		b.Queue(touch, node, same.types, same.hashes, same.versions, same.captured)
	}
	return s.pool.SendBatch(ctx, &b).Close()
}
