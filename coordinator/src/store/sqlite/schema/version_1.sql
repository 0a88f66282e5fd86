-- Version 1 of a ledger. Amounts are millicredits, times are microseconds since 1970, ids and hashes are big-endian bytes,
-- so that they compare as the numbers do. The constraints repeat what the program checks before it writes: whatever
-- goes wrong above them, the file stays a ledger.

CREATE TABLE ledger (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    network TEXT NOT NULL
) STRICT;

CREATE TABLE service (
    name TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE service_key (
    key TEXT PRIMARY KEY,
    service TEXT NOT NULL REFERENCES service,
    mac BLOB NOT NULL CHECK (length(mac) = 32),
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who holds credits, and how many: what the journal comes to.
CREATE TABLE party (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    balance INTEGER NOT NULL,
    CHECK (abs(balance) <= 9007199254740991),
    CHECK (balance >= 0 OR name = 'issuance')
) STRICT;

-- Every movement that ever was. A settlement's transfer is its hold.
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,
    transfer BLOB NOT NULL CHECK (length(transfer) = 16),
    position INTEGER NOT NULL CHECK (position BETWEEN 0 AND 255),
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'earning', 'fee', 'resale')),
    debit INTEGER NOT NULL REFERENCES party,
    credit INTEGER NOT NULL REFERENCES party,
    amount INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991),
    at INTEGER NOT NULL,
    UNIQUE (transfer, position),
    CHECK (debit <> credit)
) STRICT;

CREATE TRIGGER journal_is_never_changed BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER journal_is_never_shortened BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- The answer to each settlement, so that it can be given again; `payee` is a public key, NULL for the built-in worker.
CREATE TABLE settlement (
    sequence INTEGER PRIMARY KEY,
    hold BLOB NOT NULL UNIQUE CHECK (length(hold) = 16),
    service TEXT NOT NULL REFERENCES service,
    root BLOB NOT NULL CHECK (length(root) = 32),
    nonce BLOB NOT NULL CHECK (length(nonce) = 8),
    difficulty BLOB NOT NULL CHECK (length(difficulty) = 8),
    threshold BLOB NOT NULL CHECK (length(threshold) = 8),
    worker BLOB NOT NULL CHECK (length(worker) = 16),
    payee BLOB CHECK (length(payee) = 32),
    charged INTEGER NOT NULL CHECK (charged >= 0),
    balance INTEGER NOT NULL CHECK (balance >= 0),
    earned INTEGER NOT NULL CHECK (earned >= 0),
    at INTEGER NOT NULL,
    CHECK (earned < charged OR charged = 0)
) STRICT;

CREATE INDEX settlement_by_root ON settlement (service, root, at);
CREATE INDEX settlement_by_time ON settlement (at);

-- The first payment for each work.
CREATE TABLE work_paid (
    root BLOB NOT NULL CHECK (length(root) = 32),
    nonce BLOB NOT NULL CHECK (length(nonce) = 8),
    hold BLOB NOT NULL REFERENCES settlement (hold),
    PRIMARY KEY (root, nonce)
) STRICT, WITHOUT ROWID;
