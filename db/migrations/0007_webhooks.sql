-- Endpoints of subscribers, and the messages to them. What is secret in an endpoint (its URL, a routing key) is sealed with a
-- key that is not here; the secrets that sign are derived, and only their versions are kept.

CREATE TABLE webhook (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  target TEXT NOT NULL,
  url_shown TEXT NOT NULL,
  format TEXT NOT NULL,
  signing TEXT NOT NULL,
  secrets TEXT NOT NULL,
  filter TEXT NOT NULL,
  per_second REAL NOT NULL,
  state TEXT NOT NULL,
  disabled_reason TEXT,
  -- how far the two logs have been read for it
  alarm_seq INTEGER NOT NULL,
  audit_seq INTEGER NOT NULL,
  -- rounds in a row in which every attempt failed; while it fails, one message is tried at a time
  failures INTEGER NOT NULL,
  failing_since_ms INTEGER,
  -- when a message was given up for good, with none delivered since
  given_up_ms INTEGER,
  -- nothing is sent before it: it fails, or asked for time
  hold_until_ms INTEGER NOT NULL,
  -- up to when its rate is used up
  paced_until_ms INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

-- One message. `order_keys` are what must arrive in order (hashes of the alarms and rollouts it is about): it waits while an earlier one with
-- one of them waits.
CREATE TABLE delivery (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  webhook_id TEXT NOT NULL,
  state TEXT NOT NULL,
  order_keys TEXT NOT NULL,
  types TEXT NOT NULL,
  subject TEXT NOT NULL,
  events TEXT NOT NULL,
  event_count INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  leased_until_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  ended_ms INTEGER,
  log TEXT NOT NULL,
  replay_of TEXT
) STRICT;
-- the queue, in its order
CREATE INDEX delivery_waiting ON delivery (webhook_id, seq) WHERE state = 'waiting';
-- what waits about one alarm
CREATE INDEX delivery_subject ON delivery (webhook_id, subject) WHERE state = 'waiting';
CREATE INDEX delivery_log ON delivery (webhook_id, created_ms, seq);
CREATE INDEX delivery_ended ON delivery (ended_ms) WHERE ended_ms IS NOT NULL;
CREATE INDEX delivery_replay ON delivery (replay_of) WHERE replay_of IS NOT NULL;
