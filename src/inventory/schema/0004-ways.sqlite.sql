-- What a person should know of a scan: which ways did not work, what was odd.
ALTER TABLE scan ADD COLUMN notes TEXT NOT NULL DEFAULT '';

-- What the next scan of a mirror needs to know of the last ones.
CREATE TABLE scan_memory (
    mirror         INTEGER NOT NULL PRIMARY KEY REFERENCES mirror (id),
    turn           INTEGER NOT NULL, -- how many scans asked for a part of the confirmed files
    stamp          TEXT,             -- what the mirror's stamp said before the last complete scan; NULL: it has none
    stamp_began_ms INTEGER,          -- when that scan began
    stamp_scans    INTEGER,          -- how many complete scans in a row saw this stamp
    stamp_newest   INTEGER           -- the largest version number that was looked for
);
