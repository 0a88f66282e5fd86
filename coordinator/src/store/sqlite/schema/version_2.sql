-- From version 1 to version 2: states of services, keys with labels, ends and a last use, and workers that are shut out. Nothing
-- that moves or counts credits is touched.

ALTER TABLE service ADD COLUMN state TEXT NOT NULL DEFAULT 'active'
    CHECK (state IN ('active', 'suspended', 'banned'));
ALTER TABLE service ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
UPDATE service SET since = at;
ALTER TABLE service ADD COLUMN reason TEXT NOT NULL DEFAULT '' CHECK (length(reason) <= 200);

-- `expires` is NULL for a key that is valid until it is revoked.
ALTER TABLE service_key ADD COLUMN label TEXT NOT NULL DEFAULT '' CHECK (length(label) <= 64);
ALTER TABLE service_key ADD COLUMN expires INTEGER;
ALTER TABLE service_key ADD COLUMN last_used INTEGER;

-- A subject is a worker's id or an address; `until` is NULL for a ban that ends only when it is lifted.
CREATE TABLE worker_ban (
    subject TEXT PRIMARY KEY,
    reason TEXT NOT NULL CHECK (length(reason) <= 200),
    at INTEGER NOT NULL,
    until INTEGER
) STRICT, WITHOUT ROWID;
