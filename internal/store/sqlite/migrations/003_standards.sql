-- serves: 2
-- What was used and may not be used again: the jti of assertions and proofs. key is a hash.
CREATE TABLE replays (
  key   BLOB    PRIMARY KEY,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_until ON replays (until);
-- Authorization requests that clients pushed (RFC 9126). key is the hash of what the
-- request_uri ends with; a row stays until no flow that began with it can be answered.
CREATE TABLE pushed_requests (
  key        BLOB    PRIMARY KEY,
  client     TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  used       INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  kept_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_requests_kept_until ON pushed_requests (kept_until);
-- The secret before the present one, and until when it is taken; 0: until it is ended.
ALTER TABLE clients ADD COLUMN old_secret_hash BLOB;
ALTER TABLE clients ADD COLUMN old_secret_until INTEGER NOT NULL DEFAULT 0;

-- Sessions that began before a cutoff of all are found by it.
CREATE INDEX sessions_rev ON sessions (rev);

-- Who took part in a session. known is the session's id as the client was told it.
CREATE TABLE participations (
  session BLOB NOT NULL,
  client  TEXT NOT NULL,
  known   BLOB NOT NULL,
  subject TEXT NOT NULL,
  PRIMARY KEY (session, client, known)
) STRICT, WITHOUT ROWID;

-- Logouts of which clients are still to be told, and those of which they could not be.
CREATE TABLE logouts (
  id         BLOB    PRIMARY KEY,
  client     TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  known      BLOB    NOT NULL,
  created_at INTEGER NOT NULL,
  due_at     INTEGER NOT NULL,             -- of the next attempt
  attempts   INTEGER NOT NULL,
  error      TEXT    NOT NULL,             -- of the last attempt
  failed_at  INTEGER NOT NULL              -- 0: it is still tried
) STRICT, WITHOUT ROWID;
CREATE INDEX logouts_due ON logouts (client, due_at) WHERE failed_at = 0;
CREATE INDEX logouts_failed ON logouts (failed_at) WHERE failed_at > 0;

-- Device authorization requests (RFC 8628), by the hashes of their two codes. state is 0
-- while nobody answered, 1 approved and 2 denied; grant_id is what approval made.
CREATE TABLE devices (
  key        BLOB    PRIMARY KEY,
  user_code  BLOB    NOT NULL UNIQUE,
  client     TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  state      INTEGER NOT NULL,
  grant_id   BLOB    NOT NULL,
  poll_every INTEGER NOT NULL,
  polled_at  INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  kept_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_kept_until ON devices (kept_until);
