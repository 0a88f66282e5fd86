-- From version 4 to version 5: what was spent of that which is bounded by the day, so that a restart begins no day anew. Nothing that
-- moves or counts credits is touched.

-- What settlements of holds for a purse have charged on the last day (UTC, counted from 1970) on which they charged anything.
CREATE TABLE spent (
    purse TEXT PRIMARY KEY,
    day INTEGER NOT NULL CHECK (day >= 0),
    amount INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991)
) STRICT, WITHOUT ROWID;

-- Until now it was read from the settlements of precaches: those whose hold has the first bit of its counter set.
INSERT OR REPLACE INTO spent (purse, day, amount)
SELECT 'precache:' || service, at / 86400000000 AS day, sum(charged) FROM settlement
WHERE substr(hex(hold), 17, 1) >= '8' AND charged > 0
GROUP BY service, day ORDER BY day;
