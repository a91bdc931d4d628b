-- Whether a mirror's copy must have just the version's time, or one since the version is public; else any later one will do.
ALTER TABLE file ADD COLUMN exact INTEGER NOT NULL DEFAULT 0;

-- The times of contents of one size that one path had (src/inventory/trail.rs). The newest rows are kept, a million of them.
CREATE TABLE trail (
    id        INTEGER NOT NULL PRIMARY KEY, -- grows with each write
    key       INTEGER NOT NULL UNIQUE,      -- a hash of the path and the size
    sha256    BLOB,                         -- of the last content; NULL: it was not read
    from_ns   INTEGER NOT NULL,
    until_ns  INTEGER NOT NULL,
    inode     INTEGER NOT NULL,
    others_from_ns  INTEGER,                -- of all others; NULL: there were none
    others_until_ns INTEGER
);
