-- Versions of which a mirror has other bytes behind the right size and time. They are no holdings, whatever else says so, until they were
-- seen to be right.
CREATE TABLE wrong (
    mirror  INTEGER NOT NULL REFERENCES mirror (id),
    version INTEGER NOT NULL,
    path    BLOB    NOT NULL,
    PRIMARY KEY (mirror, version)
) WITHOUT ROWID;
