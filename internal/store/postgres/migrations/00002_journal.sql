-- +goose Up

-- A chain of the journal is a shard of its own here, whatever shards the store has.

CREATE TABLE stocktake.journal_head (
    shard int4 NOT NULL,
    seq   int8 NOT NULL,
    PRIMARY KEY (shard)
) WITH (fillfactor = 50);

CREATE TABLE stocktake.journal_line (
    shard int4  NOT NULL,
    seq   int8  NOT NULL,
    id    bytea NOT NULL,
    text  bytea NOT NULL,
    PRIMARY KEY (shard, seq)
);

CREATE TABLE stocktake.intention (
    shard int4  NOT NULL,
    id    bytea NOT NULL,
    since int8  NOT NULL,
    text  bytea NOT NULL,
    PRIMARY KEY (shard, id)
);

-- The column version is what a program must know to use the tables, this the version they are of.
ALTER TABLE stocktake.identity ADD COLUMN tables int4 NOT NULL DEFAULT 1;
