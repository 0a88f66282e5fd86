-- From version 2 to version 3: what may be spent for services ahead of their demand, and the accounts that are watched for it.
-- Nothing that moves or counts credits is touched.

CREATE TABLE precache (
    service TEXT PRIMARY KEY REFERENCES service,
    budget INTEGER NOT NULL CHECK (budget BETWEEN 0 AND 9007199254740991),
    in_flight INTEGER NOT NULL CHECK (in_flight >= 0)
) STRICT, WITHOUT ROWID;

-- An account is a public key. `gap` is a time in microseconds; NULL stands for what is not known.
CREATE TABLE watch (
    service TEXT NOT NULL REFERENCES service,
    account BLOB NOT NULL CHECK (length(account) = 32),
    used INTEGER NOT NULL,
    frontier BLOB CHECK (length(frontier) = 32),
    height INTEGER,
    confirmed INTEGER,
    gap INTEGER,
    unused INTEGER NOT NULL,
    PRIMARY KEY (service, account)
) STRICT, WITHOUT ROWID;
