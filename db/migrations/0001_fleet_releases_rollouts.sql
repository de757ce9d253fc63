-- Everything the main job remembers. Times are milliseconds since 1970, JSON is text, booleans are 0 and 1.

CREATE TABLE site (
  id TEXT PRIMARY KEY,
  labels TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  windows TEXT NOT NULL,
  freezes TEXT NOT NULL,
  state TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  incarnation INTEGER NOT NULL,
  public_key TEXT,
  claim_hash TEXT,
  claim_expires_ms INTEGER,
  presence TEXT NOT NULL,
  connection_id TEXT,
  boot_id TEXT,
  hello_seq INTEGER NOT NULL,
  last_seen_ms INTEGER,
  agent_version TEXT,
  architecture TEXT,
  protocol_max INTEGER,
  clock_trusted INTEGER,
  running TEXT,
  previous TEXT,
  running_seq INTEGER NOT NULL,
  staged TEXT,
  attempt TEXT,
  nodes TEXT NOT NULL,
  inventory TEXT NOT NULL,
  inventory_seq INTEGER NOT NULL,
  held TEXT,
  epoch INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  desired TEXT,
  desired_deployment TEXT,
  desired_epoch INTEGER NOT NULL,
  desired_generation INTEGER NOT NULL
) STRICT;
CREATE INDEX site_presence ON site (presence, id);

CREATE TABLE alarm (
  site_id TEXT NOT NULL,
  alarm_id TEXT NOT NULL,
  entity TEXT NOT NULL,
  severity TEXT NOT NULL,
  text TEXT NOT NULL,
  gating INTEGER NOT NULL,
  raised_ms INTEGER NOT NULL,
  cleared_ms INTEGER,
  seq INTEGER NOT NULL,
  PRIMARY KEY (site_id, alarm_id, entity)
) STRICT, WITHOUT ROWID;
CREATE INDEX alarm_gating ON alarm (site_id) WHERE gating = 1 AND cleared_ms IS NULL;

CREATE TABLE release (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  digest TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  detail TEXT NOT NULL,
  envelope TEXT NOT NULL,
  manifest TEXT NOT NULL,
  publisher_key TEXT NOT NULL,
  index_digest TEXT NOT NULL,
  index_bytes INTEGER NOT NULL,
  content_bytes INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  objects INTEGER NOT NULL,
  objects_confirmed INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  available_ms INTEGER,
  version INTEGER NOT NULL
) STRICT;
CREATE INDEX release_name ON release (name, created_ms);
CREATE INDEX release_state ON release (state);

CREATE TABLE release_object (
  object TEXT NOT NULL,
  release_id TEXT NOT NULL,
  stored_bytes INTEGER NOT NULL,
  PRIMARY KEY (object, release_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollout (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  target TEXT NOT NULL,
  release TEXT,
  selector TEXT NOT NULL,
  policy TEXT NOT NULL,
  state TEXT NOT NULL,
  pauses TEXT NOT NULL,
  abort_mode TEXT,
  members INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  start_at_ms INTEGER,
  started_ms INTEGER,
  ended_ms INTEGER,
  parked_until_ms INTEGER,
  wake_ms INTEGER,
  created_by TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  request_id TEXT NOT NULL,
  version INTEGER NOT NULL
) STRICT;
CREATE INDEX rollout_wake ON rollout (wake_ms) WHERE wake_ms IS NOT NULL;
CREATE INDEX rollout_state ON rollout (state, id);

CREATE TABLE wave (
  rollout_id TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  policy TEXT NOT NULL,
  state TEXT NOT NULL,
  opened_ms INTEGER,
  last_success_ms INTEGER,
  approved_by TEXT,
  failures_acknowledged INTEGER NOT NULL,
  executed_acknowledged INTEGER NOT NULL,
  PRIMARY KEY (rollout_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE deployment (
  rollout_id TEXT NOT NULL,
  site_id TEXT NOT NULL,
  wave INTEGER NOT NULL,
  place INTEGER NOT NULL,
  grp TEXT NOT NULL,
  state TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  from_release TEXT,
  to_release TEXT,
  seq INTEGER NOT NULL,
  seq_incarnation INTEGER NOT NULL,
  progress TEXT,
  why TEXT NOT NULL,
  fault TEXT,
  not_before_ms INTEGER NOT NULL,
  granted_ms INTEGER,
  started_ms INTEGER,
  ended_ms INTEGER,
  deadline_ms INTEGER,
  abort_acknowledged INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (rollout_id, site_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deployment_queue ON deployment (rollout_id, state, wave, not_before_ms, place);
CREATE INDEX deployment_site ON deployment (site_id, state);

CREATE TABLE counter (
  rollout_id TEXT NOT NULL,
  wave INTEGER NOT NULL,
  grp TEXT NOT NULL,
  state TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (rollout_id, wave, grp, state)
) STRICT, WITHOUT ROWID;

-- Counters are kept by the database itself, so that no statement that moves a deployment can forget them (SPEC I12).
CREATE TRIGGER deployment_added AFTER INSERT ON deployment BEGIN
  INSERT INTO counter (rollout_id, wave, grp, state, n) VALUES (new.rollout_id, new.wave, new.grp, new.state, 1)
    ON CONFLICT (rollout_id, wave, grp, state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER deployment_moved AFTER UPDATE OF state, wave, grp ON deployment
  WHEN old.state <> new.state OR old.wave <> new.wave OR old.grp <> new.grp BEGIN
  UPDATE counter SET n = n - 1 WHERE rollout_id = old.rollout_id AND wave = old.wave AND grp = old.grp AND state = old.state;
  INSERT INTO counter (rollout_id, wave, grp, state, n) VALUES (new.rollout_id, new.wave, new.grp, new.state, 1)
    ON CONFLICT (rollout_id, wave, grp, state) DO UPDATE SET n = n + 1;
END;

-- Two rollouts that decide at the same moment cannot both grant one site (SPEC I14): the later batch is lost, as by a guard.
CREATE TRIGGER deployment_one_in_flight BEFORE UPDATE OF state ON deployment
  WHEN new.state = 'granted' AND EXISTS (
    SELECT 1 FROM deployment WHERE site_id = new.site_id AND rollout_id <> new.rollout_id AND state IN ('granted', 'running', 'needs-hands')
  ) BEGIN
  SELECT RAISE(ABORT, 'guard_lost');
END;

CREATE TABLE directive (
  site_id TEXT NOT NULL,
  slot TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  body TEXT NOT NULL,
  pending INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  sent_ms INTEGER,
  PRIMARY KEY (site_id, slot)
) STRICT;
CREATE INDEX directive_pending ON directive (due_ms, site_id, generation) WHERE pending = 1;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  entity TEXT NOT NULL,
  site_id TEXT,
  why TEXT NOT NULL,
  detail TEXT NOT NULL,
  request_id TEXT NOT NULL,
  seal TEXT
) STRICT;
CREATE INDEX audit_entity ON audit (entity, seq);
CREATE INDEX audit_site ON audit (site_id, seq);
CREATE INDEX audit_unsealed ON audit (seq) WHERE seal IS NULL;

CREATE TABLE token (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  created_by TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  revoked_ms INTEGER
) STRICT;

CREATE TABLE idempotency (
  actor TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  status INTEGER,
  body TEXT,
  expires_ms INTEGER NOT NULL,
  PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_ms);

CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- A batch that must not land when the world has moved on puts a 0 here: the check fails, and the whole batch with it.
CREATE TABLE guard (held INTEGER CONSTRAINT guard_lost CHECK (held = 1)) STRICT;
