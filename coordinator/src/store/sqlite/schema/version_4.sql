-- From version 3 to version 4: what keys may be used for. A key without a row is for real work, from everywhere, without a bound.
-- Nothing that moves or counts credits is touched.

-- `allow` is a list of address ranges with commas between them; empty stands for all.
CREATE TABLE key_limits (
    key TEXT PRIMARY KEY,
    service TEXT NOT NULL REFERENCES service,
    test INTEGER NOT NULL CHECK (test IN (0, 1)),
    spend_per_day INTEGER CHECK (spend_per_day BETWEEN 0 AND 9007199254740991),
    allow TEXT NOT NULL
) STRICT, WITHOUT ROWID;
