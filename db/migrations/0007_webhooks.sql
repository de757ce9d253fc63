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
  -- attempts that failed in a row; while it fails, one message is tried at a time, not before `hold_until_ms`
  failures INTEGER NOT NULL,
  failing_since_ms INTEGER,
  hold_until_ms INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  version INTEGER NOT NULL
) STRICT;

-- One message. `order_key` is what must arrive in order (one alarm, one rollout); a message of many events has '*'.
CREATE TABLE delivery (
  id TEXT PRIMARY KEY,
  webhook_id TEXT NOT NULL,
  state TEXT NOT NULL,
  order_key TEXT NOT NULL,
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
CREATE INDEX delivery_due ON delivery (webhook_id, due_ms, id) WHERE state = 'waiting';
CREATE INDEX delivery_order ON delivery (webhook_id, order_key, id) WHERE state = 'waiting';
CREATE INDEX delivery_log ON delivery (webhook_id, id);
CREATE INDEX delivery_ended ON delivery (ended_ms) WHERE ended_ms IS NOT NULL;
