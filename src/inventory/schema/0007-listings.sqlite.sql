-- What a mirror's listings looked like when they were last judged, in the scanner's own form: what it can't read, it throws away.
CREATE TABLE listed (
    mirror INTEGER NOT NULL PRIMARY KEY REFERENCES mirror (id),
    head   BLOB    NOT NULL, -- where it was listed, and how often
    bytes  INTEGER NOT NULL, -- of all parts together
    at_ms  INTEGER NOT NULL  -- when the scan ended that wrote it
);

-- The directories, in parts by a hash of their paths: one that changes writes its part only.
CREATE TABLE listed_part (
    mirror INTEGER NOT NULL REFERENCES listed (mirror),
    part   INTEGER NOT NULL,
    data   BLOB    NOT NULL,
    PRIMARY KEY (mirror, part)
) WITHOUT ROWID;
