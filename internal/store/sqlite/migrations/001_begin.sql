-- Times are Unix milliseconds, 0 for never. Lists and nested values are JSON.

-- One row: what belongs to the issuer as a whole.
CREATE TABLE issuer (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  incarnation TEXT    NOT NULL,            -- changes only when the database is restored
  former      TEXT    NOT NULL,            -- incarnations before it, the newest last
  head        INTEGER NOT NULL,            -- number of the newest revocation
  hash        BLOB    NOT NULL,            -- the log's running hash at the head
  cutoff      INTEGER NOT NULL,            -- tokens and grants with a lower rev are dead
  alive_at    INTEGER NOT NULL,            -- last sign of life, to tell an outage from a late client
  longest     INTEGER NOT NULL             -- longest access token lifetime in force at any time, in milliseconds
) STRICT;

-- The last times in which nobody was answered.
CREATE TABLE outages (
  since INTEGER PRIMARY KEY,
  until INTEGER NOT NULL
) STRICT;

-- Entries of the revocation log. kind: token, grant, session, key (absolute);
-- subject, client, all (cutoffs). value is the hash of what they name. They are
-- removed from the oldest on, so that the rest is without gaps.
CREATE TABLE revocations (
  n      INTEGER PRIMARY KEY,
  lane   INTEGER NOT NULL,
  kind   TEXT    NOT NULL,
  value  TEXT    NOT NULL,
  until  INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  cause  TEXT    NOT NULL,
  before BLOB    NOT NULL                  -- the running hash before this entry
) STRICT;

CREATE TABLE clients (
  id          TEXT    PRIMARY KEY,
  spec        TEXT    NOT NULL,
  secret_hash BLOB    NOT NULL,
  source      TEXT    NOT NULL,            -- config or api
  disabled    INTEGER NOT NULL,
  cutoff      INTEGER NOT NULL,
  generation  INTEGER NOT NULL,            -- of the handle of its own tokens
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE resources (
  id          TEXT    PRIMARY KEY,
  spec        TEXT    NOT NULL,
  secret_hash BLOB    NOT NULL,
  source      TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id             TEXT    PRIMARY KEY,      -- the subject: random, never reused
  login          TEXT    NOT NULL,         -- folded e-mail
  email          TEXT    NOT NULL,
  email_verified INTEGER NOT NULL,
  name           TEXT    NOT NULL,
  claims         TEXT    NOT NULL,
  roles          TEXT    NOT NULL,
  groups         TEXT    NOT NULL,
  password       TEXT    NOT NULL,         -- argon2id, PHC string; empty: no password
  disabled       INTEGER NOT NULL,
  cutoff         INTEGER NOT NULL,
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX users_login ON users (login);

CREATE TABLE sessions (
  id          BLOB    PRIMARY KEY,         -- hash of the cookie's secret
  subject     TEXT    NOT NULL,
  amr         TEXT    NOT NULL,
  acr         TEXT    NOT NULL,
  auth_time   INTEGER NOT NULL,
  seen_at     INTEGER NOT NULL,
  idle_at     INTEGER NOT NULL,            -- never after absolute_at
  absolute_at INTEGER NOT NULL,
  user_agent  TEXT    NOT NULL,
  address     TEXT    NOT NULL,
  rev         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_subject ON sessions (subject);
CREATE INDEX sessions_idle ON sessions (idle_at);

-- Authorization requests under way, each bound to the browser that began it.
CREATE TABLE flows (
  id         BLOB    PRIMARY KEY,
  browser    BLOB    NOT NULL,             -- hash of the browser's secret; empty until claimed
  client     TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  session    BLOB    NOT NULL,             -- who proved themselves within this flow; empty: nobody yet
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX flows_expires ON flows (expires_at);

-- One row a grant. No index covers a column that rotation changes.
CREATE TABLE grants (
  id               BLOB    PRIMARY KEY,
  secret           BLOB    NOT NULL,
  pepper           INTEGER NOT NULL,
  client           TEXT    NOT NULL,
  subject          TEXT    NOT NULL,
  session          BLOB    NOT NULL,       -- empty: outlives its session
  rev              INTEGER NOT NULL,       -- head when the grant was made
  created_at       INTEGER NOT NULL,
  absolute_at      INTEGER NOT NULL,
  unredeemed_until INTEGER NOT NULL,       -- when an unused code's row may go; 0 once redeemed
  code             TEXT    NOT NULL,       -- what only the code needs; erased when it is redeemed
  details          TEXT    NOT NULL,
  number           INTEGER NOT NULL,
  rotated_at       INTEGER NOT NULL,
  idle_at          INTEGER NOT NULL,
  tokens_until     INTEGER NOT NULL,       -- expiry of the last access token issued under it
  ended_at         INTEGER NOT NULL,
  ended_by         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_live ON grants (subject, client, unredeemed_until, created_at) WHERE ended_at = 0;
CREATE INDEX grants_session ON grants (session) WHERE length(session) > 0;
CREATE INDEX grants_unredeemed ON grants (unredeemed_until) WHERE unredeemed_until > 0;

CREATE TABLE consents (
  subject    TEXT    NOT NULL,
  client     TEXT    NOT NULL,
  scopes     TEXT    NOT NULL,             -- JSON: resource id ("" for the issuer) to scopes
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (subject, client)
) STRICT, WITHOUT ROWID;

-- The key ring: signing keys, and the random roots of MAC and AEAD keys. sealed
-- is under the key-encryption key.
CREATE TABLE keys (
  id         TEXT    PRIMARY KEY,
  number     INTEGER NOT NULL,             -- short id of a root; 0 for signing keys
  purpose    TEXT    NOT NULL,             -- sign, pepper
  alg        TEXT    NOT NULL,
  state      TEXT    NOT NULL,             -- next, active, retired
  public     BLOB    NOT NULL,
  sealed     BLOB    NOT NULL,
  created_at INTEGER NOT NULL,
  active_at  INTEGER NOT NULL,
  retired_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  at      INTEGER NOT NULL,
  id      TEXT    NOT NULL,
  type    TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  client  TEXT    NOT NULL,
  grant_  TEXT    NOT NULL,
  actor   TEXT    NOT NULL,
  address TEXT    NOT NULL,
  request TEXT    NOT NULL,
  data    TEXT    NOT NULL,
  PRIMARY KEY (at, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
  name   TEXT    PRIMARY KEY,
  holder TEXT    NOT NULL,
  until  INTEGER NOT NULL,
  ran_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Failed attempts, counted by the generic cell rate algorithm.
CREATE TABLE attempts (
  key TEXT    PRIMARY KEY,
  tat INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_tat ON attempts (tat);

-- How often nodes must read again what they hold in memory.
CREATE TABLE changes (
  name TEXT    PRIMARY KEY,
  n    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
