-- What mirrors can do for clients, as it was last tried.
CREATE TABLE ability (
    mirror               INTEGER NOT NULL PRIMARY KEY REFERENCES mirror (id),
    bases                TEXT    NOT NULL, -- the URLs at which it was tried
    at_ms                INTEGER NOT NULL,
    ranges               TEXT    NOT NULL, -- unknown, kept, ignored
    largest              INTEGER,          -- the size in bytes beyond which files did not come right; NULL: none is known
    certificate          TEXT    NOT NULL, -- unknown, trusted, refused
    certificate_until_ms INTEGER,
    ipv4                 TEXT    NOT NULL, -- unknown, yes, no
    ipv6                 TEXT    NOT NULL,
    notes                TEXT    NOT NULL  -- what was wrong, for people; lines
);

-- The few files of more than 2 GiB. The query repeats the condition word for word.
CREATE INDEX file_large ON file (size) WHERE size > 2147483648;
