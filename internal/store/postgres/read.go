package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// nodeRead is a node's record being read.
type nodeRead struct {
	*call[inventory.Node]
	key   inventory.NodeKey
	shard int32
	raw   []byte
}

// Node implements store.Store.
func (s *Store) Node(ctx context.Context, key inventory.NodeKey) (inventory.Node, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Node{}, err
	}
	defer s.leave()
	return s.node(ctx, key)
}

func (s *Store) node(ctx context.Context, key inventory.NodeKey) (inventory.Node, error) {
	if checkNodeKey(key) != nil {
		return inventory.Node{}, noNode(key) // none can have been stored
	}
	r := &nodeRead{call: newCall[inventory.Node](), key: key, shard: s.shardOf(key), raw: nodeKey(key)}
	s.nodes.add(r)
	return r.wait(ctx)
}

func noNode(key inventory.NodeKey) error {
	return fmt.Errorf("node %s: %w", key.Node, store.ErrNotFound)
}

// nodeRow is what a node's row says.
type nodeRow struct {
	revision int64
	record   []byte
}

// placeOf names a node's row.
type placeOf struct {
	shard int32
	node  string
}

// readNodes answers all that wait for a node's record with one statement.
func (s *Store) readNodes(all []*nodeRead) {
	found := make(map[placeOf]nodeRow, len(all))
	err := s.run(s.alive, "read nodes", func(ctx context.Context, conn *pgx.Conn) error {
		clear(found)
		b := &pgx.Batch{}
		for _, g := range s.split(len(all), func(i int) int32 { return all[i].shard }) {
			var shards []int32
			var nodes [][]byte
			for _, i := range g.members {
				shards, nodes = append(shards, all[i].shard), append(nodes, all[i].raw)
			}
			b.Queue(`SELECT n.shard, n.node, n.revision, n.record FROM unnest($1::int4[], $2::bytea[]) u (shard, node)
				JOIN stocktake.node n ON n.shard = u.shard AND n.node = u.node`+g.only("n"), shards, nodes).Query(func(rows pgx.Rows) error {
				var shard int32
				var node []byte
				var r nodeRow
				_, err := pgx.ForEachRow(rows, []any{&shard, &node, &r.revision, &r.record}, func() error {
					found[placeOf{shard, string(node)}] = nodeRow{r.revision, slices.Clone(r.record)}
					return nil
				})
				return err
			})
		}
		return send(ctx, conn, b)
	})
	for _, r := range all {
		row, ok := found[placeOf{r.shard, string(r.raw)}]
		switch {
		case err != nil:
			r.end(inventory.Node{}, err)
		case !ok:
			r.end(inventory.Node{}, noNode(r.key))
		default:
			r.end(decodeNode(r.key, row.revision, row.record))
		}
	}
}

// share is what one statement of several asks about. PostgreSQL is asked for all shards at once; Citus for each by
// itself, so that every statement is one worker's.
type share struct {
	members []int
	shard   int32
	alone   bool // the statement is about this shard alone
}

// split shares n things out to statements.
func (s *Store) split(n int, shardOf func(i int) int32) []share {
	members := make([]int, n)
	for i := range members {
		members[i] = i
	}
	if !s.citus && n > 0 {
		return []share{{members: members}}
	}
	slices.SortStableFunc(members, func(i, j int) int { return int(shardOf(i)) - int(shardOf(j)) })
	var shares []share
	for _, i := range members {
		shard := shardOf(i)
		if n := len(shares); n == 0 || shares[n-1].shard != shard {
			shares = append(shares, share{shard: shard, alone: true})
		}
		last := &shares[len(shares)-1]
		last.members = append(last.members, i)
	}
	return shares
}

// only is the condition by which a statement is about one shard: the number is in its text, which Citus plans by.
func (g share) only(table string) string {
	if !g.alone {
		return ""
	}
	return fmt.Sprintf(" WHERE %s.shard = %d", table, g.shard)
}

// and is only for a statement with a condition of its own.
func (g share) and(table string) string { return strings.Replace(g.only(table), "WHERE", "AND", 1) }

// Document implements store.Store.
func (s *Store) Document(ctx context.Context, key inventory.DocumentKey) (inventory.Document, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Document{}, err
	}
	defer s.leave()
	missing := fmt.Errorf("document %q of node %s: %w", key.Type, key.Node, store.ErrNotFound)
	if checkNodeKey(key.NodeKey) != nil || checkType(key.Type) != nil {
		return inventory.Document{}, missing
	}
	var content []byte
	err := s.run(ctx, "read a document", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT content FROM stocktake.document WHERE shard = $1 AND node = $2 AND item = $3`,
			s.shardOf(key.NodeKey), nodeKey(key.NodeKey), itemKey(inventory.ItemKey{Type: key.Type, SubType: key.SubType})).Scan(&content)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return inventory.Document{}, missing
	} else if err != nil {
		return inventory.Document{}, err
	}
	return s.document(key, content)
}

func (s *Store) document(key inventory.DocumentKey, content []byte) (inventory.Document, error) {
	doc, err := s.codec.decodeDocument(content)
	if err != nil {
		return inventory.Document{}, damaged(fmt.Sprintf("document %q of node %s", key.Type, key.Node), err)
	}
	return doc, nil
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, keys []inventory.NodeKey, types []inventory.TypeName) ([]store.NodeScan, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if len(keys) == 0 {
		return nil, nil
	}
	shards, nodes := make([]int32, len(keys)), make([][]byte, len(keys))
	for i, k := range keys {
		shards[i], nodes[i] = s.shardOf(k), nodeKey(k)
	}
	from, below := make([][]byte, len(types)), make([][]byte, len(types))
	for i, t := range types {
		from[i], below[i] = typeRange(t)
	}
	scans := make([]scanned, len(keys))
	err := s.run(ctx, "read nodes", func(ctx context.Context, conn *pgx.Conn) error {
		clear(scans)
		b := &pgx.Batch{}
		for _, g := range s.split(len(keys), func(i int) int32 { return shards[i] }) {
			var inShards []int32
			var names [][]byte
			for _, i := range g.members {
				inShards, names = append(inShards, shards[i]), append(names, nodes[i])
			}
			b.Queue(`SELECT u.ord, n.revision, n.record, d.item, d.content
				FROM unnest($1::int4[], $2::bytea[]) WITH ORDINALITY u (shard, node, ord)
				JOIN stocktake.node n ON n.shard = u.shard AND n.node = u.node
				LEFT JOIN LATERAL (SELECT d.item, d.content FROM unnest($3::bytea[], $4::bytea[]) t (first, below)
					JOIN stocktake.document d ON d.shard = n.shard AND d.node = n.node AND d.item >= t.first AND d.item < t.below) d ON true`+
				g.only("n"), inShards, names, from, below).Query(func(rows pgx.Rows) error {
				return readScans(rows, func(ord int64) *scanned { return &scans[g.members[ord-1]] })
			})
		}
		return send(ctx, conn, b)
	})
	if err != nil {
		return nil, err
	}
	var found []store.NodeScan
	for i := range scans {
		if scans[i].record == nil {
			continue
		}
		n, err := s.scan(keys[i], &scans[i])
		if err != nil {
			return nil, err
		}
		found = append(found, n)
	}
	return found, nil
}

// scanned is a node and its documents as rows give them.
type scanned struct {
	nodeRow
	documents map[string][]byte
}

// readScans reads rows of a number, a node's revision and record, and a document's key and content (NULL for none); of
// gives where what has the number goes.
func readScans(rows pgx.Rows, of func(ord int64) *scanned) error {
	var ord, revision int64
	var record, item, content []byte
	_, err := pgx.ForEachRow(rows, []any{&ord, &revision, &record, &item, &content}, func() error {
		sc := of(ord)
		if sc.record == nil {
			sc.revision, sc.record = revision, slices.Clone(record)
		}
		if item != nil {
			if sc.documents == nil {
				sc.documents = map[string][]byte{}
			}
			sc.documents[string(item)] = slices.Clone(content)
		}
		return nil
	})
	return err
}

// scan puts together what was read of a node; documents that were not read are zero.
func (s *Store) scan(key inventory.NodeKey, from *scanned) (store.NodeScan, error) {
	node, err := decodeNode(key, from.revision, from.record)
	if err != nil {
		return store.NodeScan{}, err
	}
	n := store.NodeScan{Node: node}
	if len(node.Items) > 0 {
		n.Documents = make([]inventory.Document, len(node.Items))
	}
	for i, item := range node.Items {
		content, ok := from.documents[string(itemKey(item.ItemKey))]
		if !ok {
			continue
		}
		name := inventory.DocumentKey{NodeKey: key, Type: item.Type, SubType: item.SubType}
		if n.Documents[i], err = s.document(name, content); err != nil {
			return store.NodeScan{}, err
		}
	}
	return n, nil
}

// Scan implements store.Store. Its order is that of the bytes of account, region and node.
func (s *Store) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	if err := s.enterShard(ctx, shard); err != nil {
		return nil, false, err
	}
	defer s.leave()
	return s.scanBy(ctx, s.labour, shard, after, limit)
}

func (s *Store) scanBy(ctx context.Context, by labour, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	from := []byte{}
	if after != nil {
		from = nodeKey(*after)
	}
	var keys [][]byte
	var scans []*scanned
	err := by(ctx, long, "scan", func(ctx context.Context, conn *pgx.Conn) error {
		keys, scans = nil, nil
		rows, err := conn.Query(ctx, `SELECT n.node, n.revision, n.record, d.item, d.content
			FROM (SELECT shard, node, revision, record FROM stocktake.node WHERE shard = $1 AND node > $2 ORDER BY node LIMIT $3) n
			LEFT JOIN stocktake.document d ON d.shard = n.shard AND d.node = n.node AND d.shard = $1 ORDER BY n.node`, shard, from, limit)
		if err != nil {
			return err
		}
		var node, record, item, content []byte
		var revision int64
		_, err = pgx.ForEachRow(rows, []any{&node, &revision, &record, &item, &content}, func() error {
			if n := len(keys); n == 0 || string(keys[n-1]) != string(node) {
				keys = append(keys, slices.Clone(node))
				scans = append(scans, &scanned{nodeRow: nodeRow{revision, slices.Clone(record)}, documents: map[string][]byte{}})
			}
			if item != nil {
				scans[len(scans)-1].documents[string(item)] = slices.Clone(content)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, false, err
	}
	nodes := make([]store.NodeScan, len(keys))
	for i := range keys {
		key, err := parseNodeKey(keys[i])
		if err != nil {
			return nil, false, err
		}
		if nodes[i], err = s.scan(key, scans[i]); err != nil {
			return nil, false, err
		}
		if len(scans[i].documents) != len(nodes[i].Node.Items) {
			return nil, false, damaged(fmt.Sprintf("node %s", key.Node), errors.New("its documents are not those its record names"))
		}
	}
	return nodes, len(keys) == limit, nil
}

// Shapes implements store.Store.
func (s *Store) Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	if err := s.enterShard(ctx, shard); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.shapesBy(ctx, s.labour, p, t, ids)
}

func (s *Store) shapesBy(ctx context.Context, by labour, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in := spaceOf(p, t)
	keys := make([]shapeKey, len(ids))
	for i, id := range ids {
		keys[i] = in.key(id)
	}
	texts := make(map[shapeKey]string, len(ids))
	err := by(ctx, s.usual(), "read shapes", func(ctx context.Context, conn *pgx.Conn) error {
		clear(texts)
		return s.readTexts(ctx, conn, keys, texts)
	})
	if err != nil {
		return nil, err
	}
	shapes := make([]inventory.Shape, len(ids))
	for i, id := range ids {
		text, ok := texts[keys[i]]
		if !ok {
			return nil, fmt.Errorf("shape %s of %q: %w", id, t, store.ErrNotFound)
		}
		shapes[i] = inventory.Shape{ID: id, Text: text}
	}
	return shapes, nil
}

// readTexts reads the texts of shapes.
func (s *Store) readTexts(ctx context.Context, conn *pgx.Conn, keys []shapeKey, texts map[shapeKey]string) error {
	b := &pgx.Batch{}
	for _, g := range s.split(len(keys), func(i int) int32 { return keys[i].shardOf(s.identity.Shards) }) {
		shards, ids := s.shapeArgs(keys, g.members)
		b.Queue(`SELECT t.id, t.text FROM unnest($1::int4[], $2::bytea[]) u (shard, id)
			JOIN stocktake.shape t ON t.shard = u.shard AND t.id = u.id`+g.only("t"), shards, ids).Query(func(rows pgx.Rows) error {
			var id, text []byte
			_, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
				if len(id) == len(shapeKey{}) {
					texts[shapeKey(id)] = string(text)
				}
				return nil
			})
			return err
		})
	}
	return send(ctx, conn, b)
}

func (s *Store) shapeArgs(keys []shapeKey, members []int) (shards []int32, ids [][]byte) {
	shards, ids = make([]int32, 0, len(members)), make([][]byte, 0, len(members))
	for _, i := range members {
		shards, ids = append(shards, keys[i].shardOf(s.identity.Shards)), append(ids, keys[i][:])
	}
	return shards, ids
}
