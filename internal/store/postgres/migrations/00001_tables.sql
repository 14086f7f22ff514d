-- +goose Up

-- Every key begins with the shard, by which Citus distributes all of these. Text of clients is bytea: any legal value
-- fits, and no collation has a say.

CREATE TABLE stocktake.identity (
    shard     int4  NOT NULL,
    version   int4  NOT NULL,
    id        bytea NOT NULL,
    shards    int4  NOT NULL,
    hash_key  bytea NOT NULL,
    token_key bytea NOT NULL,
    root_key  bytea NOT NULL,
    PRIMARY KEY (shard)
);

CREATE TABLE stocktake.head (
    shard int4  NOT NULL,
    seq   int8  NOT NULL,
    id    bytea NOT NULL,
    epoch int8  NOT NULL,
    PRIMARY KEY (shard)
) WITH (fillfactor = 50);

CREATE TABLE stocktake.node (
    shard    int4  NOT NULL,
    node     bytea NOT NULL,
    revision int8  NOT NULL,
    items    bytea NOT NULL,
    record   bytea NOT NULL,
    PRIMARY KEY (shard, node)
) WITH (fillfactor = 80);

CREATE TABLE stocktake.document (
    shard   int4  NOT NULL,
    node    bytea NOT NULL,
    item    bytea NOT NULL,
    seq     int8  NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (shard, node, item)
);

CREATE TABLE stocktake.change (
    shard   int4  NOT NULL,
    seq     int8  NOT NULL,
    id      bytea NOT NULL,
    arrival int8  NOT NULL,
    node    bytea NOT NULL,
    item    bytea NOT NULL,
    meta    bytea NOT NULL,
    content bytea,
    PRIMARY KEY (shard, seq)
);

CREATE TABLE stocktake.shape (
    shard int4  NOT NULL,
    id    bytea NOT NULL,
    epoch int8  NOT NULL,
    text  bytea NOT NULL,
    PRIMARY KEY (shard, id)
);

-- Compressed already, or made of hashes: trying again costs time and saves nothing.
ALTER TABLE stocktake.document ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE stocktake.change ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE stocktake.reader (
    shard int4  NOT NULL,
    name  bytea NOT NULL,
    seq   int8  NOT NULL,
    PRIMARY KEY (shard, name)
);

CREATE TABLE stocktake.fence (
    shard  int4  NOT NULL,
    lease  bytea NOT NULL,
    number int8  NOT NULL,
    PRIMARY KEY (shard, lease)
);

CREATE TABLE stocktake.record (
    shard    int4  NOT NULL,
    key      bytea NOT NULL,
    revision int8  NOT NULL,
    id       bytea NOT NULL,
    value    bytea NOT NULL,
    PRIMARY KEY (shard, key)
);

CREATE TABLE stocktake.record_head (
    shard int4  NOT NULL,
    seq   int8  NOT NULL,
    id    bytea NOT NULL,
    PRIMARY KEY (shard)
);

CREATE TABLE stocktake.snapshot (
    shard      int4 NOT NULL,
    generation int8 NOT NULL,
    parts      int4 NOT NULL,
    PRIMARY KEY (shard)
);

CREATE TABLE stocktake.snapshot_part (
    shard      int4  NOT NULL,
    generation int8  NOT NULL,
    part       int4  NOT NULL,
    data       bytea NOT NULL,
    PRIMARY KEY (shard, generation, part)
);

ALTER TABLE stocktake.snapshot_part ALTER COLUMN data SET STORAGE EXTERNAL;
