-- What describes a version, as one pass over its file gave it. A row goes with its version.
CREATE TABLE description (
    version       INTEGER NOT NULL PRIMARY KEY,
    size          INTEGER NOT NULL,
    md5           BLOB    NOT NULL,
    sha1          BLOB    NOT NULL,
    sha256        BLOB    NOT NULL,
    sha512        BLOB    NOT NULL,
    piece_length  INTEGER NOT NULL,
    zsync_lengths BLOB,             -- sequence matches, bytes of the rolling sum, bytes of the MD4; NULL: no block sums
    zsync_block   INTEGER,
    piece_sha1    BLOB    NOT NULL, -- 20 bytes a piece
    piece_sha256  BLOB    NOT NULL, -- 32 bytes a piece
    zsync_sums    BLOB
);

-- Versions whose file was found to have other bytes although it looks the same: bit rot, until it proves right again.
CREATE TABLE damage (
    version INTEGER NOT NULL PRIMARY KEY,
    sha256  BLOB    NOT NULL, -- what was found
    at_ms   INTEGER NOT NULL
);

-- By which plan (piece length, block sums) the version is described; 0: not at all, or by another plan than is wished for.
ALTER TABLE file ADD COLUMN described INTEGER NOT NULL DEFAULT 0;

-- The files that have a digest and are to be described. The queries repeat the condition word for word.
CREATE INDEX file_undescribed ON file (path) WHERE (state = 0 AND described = 0 AND sha256 IS NOT NULL);

-- The plan that every described file follows; 0: not known.
INSERT INTO fact (name, value) VALUES ('plan', 0);
