-- A random number for each commit: by its number and this it is known again, in this database and in no other.
ALTER TABLE change ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;
UPDATE change SET mark = random();
