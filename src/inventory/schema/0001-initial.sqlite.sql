-- The files of the public tree, one row each. Times are nanoseconds since 1970 (_ns) or milliseconds (_ms).
CREATE TABLE file (
    path             BLOB    NOT NULL PRIMARY KEY, -- bytes, decoded, without a slash at either end
    version          INTEGER NOT NULL,             -- never used again for anything else
    size             INTEGER NOT NULL,
    mtime_ns         INTEGER NOT NULL,
    ctime_ns         INTEGER NOT NULL,
    inode            INTEGER NOT NULL,
    sha256           BLOB,                         -- of the version; NULL until it is known
    version_mtime_ns INTEGER,                      -- of the version's first fingerprint; NULL: as mtime_ns
    public_since_ns  INTEGER,                      -- NULL: as mtime_ns
    state            INTEGER NOT NULL,             -- 0 settled, 1 unconfirmed, 2 changing
    recorded_ms      INTEGER NOT NULL              -- when the row was last written
) WITHOUT ROWID;

-- The files that need a digest. The queries repeat the condition word for word, or the index is not used.
CREATE INDEX file_unhashed ON file (path) WHERE (state = 1 OR (state = 0 AND sha256 IS NULL));

-- Single values: next_version, indexed.
CREATE TABLE fact (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO fact (name, value) VALUES ('next_version', 1), ('indexed', 0);

-- What is known of each mirror.
CREATE TABLE mirror (
    id       INTEGER NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    holdings BLOB    NOT NULL DEFAULT x'',      -- a roaring bitmap of version numbers, in the portable format; empty: none
    bases    TEXT    NOT NULL DEFAULT '',       -- the URLs at which the holdings were seen
    health   TEXT    NOT NULL DEFAULT 'unknown' -- unknown, up, failing, down
);

CREATE TABLE scan (
    id         INTEGER NOT NULL PRIMARY KEY,
    mirror     INTEGER NOT NULL REFERENCES mirror (id),
    began_ms   INTEGER NOT NULL,
    ended_ms   INTEGER NOT NULL,
    protocol   TEXT    NOT NULL,
    complete   INTEGER NOT NULL,
    failure    TEXT, -- NULL: it went well
    found      INTEGER NOT NULL DEFAULT 0,
    gone       INTEGER NOT NULL DEFAULT 0,
    mismatched INTEGER NOT NULL DEFAULT 0,
    doubtful   INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0,
    entries    INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX scan_mirror ON scan (mirror, id);

CREATE TABLE health_change (
    id     INTEGER NOT NULL PRIMARY KEY,
    mirror INTEGER NOT NULL REFERENCES mirror (id),
    at_ms  INTEGER NOT NULL,
    health TEXT    NOT NULL,
    reason TEXT
);
CREATE INDEX health_change_mirror ON health_change (mirror, id);

CREATE TABLE hold (
    path    BLOB    NOT NULL PRIMARY KEY,
    because TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE hold_event (
    id      INTEGER NOT NULL PRIMARY KEY,
    path    BLOB    NOT NULL,
    action  TEXT    NOT NULL, -- held, released
    because TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL
);

-- What was committed, so that other processes can follow. Trimmed at its old end; the newest row always stays.
CREATE TABLE change (
    number  INTEGER NOT NULL PRIMARY KEY,
    kind    TEXT    NOT NULL, -- files, mirror, holds
    subject BLOB,             -- files: their paths, joined by NUL, or NULL for too many; mirror: its name
    total   INTEGER NOT NULL  -- bytes of all rows up to and including this one, ever
);
INSERT INTO change (number, kind, subject, total) VALUES (1, 'holds', NULL, 0);
