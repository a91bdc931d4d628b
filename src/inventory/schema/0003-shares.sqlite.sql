-- How much of the tree a mirror held at the end of a scan. NULL: the scan failed, or was of a part of the tree.
ALTER TABLE scan ADD COLUMN files      INTEGER;
ALTER TABLE scan ADD COLUMN held       INTEGER;
ALTER TABLE scan ADD COLUMN file_bytes INTEGER;
ALTER TABLE scan ADD COLUMN held_bytes INTEGER;

-- What each mirror lacks, by directory: bounded JSON, as of the last scan of the whole tree that came to something else than the
-- one before. NULL: not known.
ALTER TABLE mirror ADD COLUMN gaps TEXT;
