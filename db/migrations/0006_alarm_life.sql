-- The life of an alarm: who acknowledged it, whether it lies on the shelf or is silent, how often it has come and gone,
-- and what happened to it when. Counters and history are kept by the database itself, so that no statement forgets them.

ALTER TABLE alarm ADD COLUMN source TEXT NOT NULL DEFAULT 'tool';
ALTER TABLE alarm ADD COLUMN incarnation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alarm ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alarm ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE alarm ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE alarm ADD COLUMN site_ms INTEGER;
ALTER TABLE alarm ADD COLUMN acknowledged_ms INTEGER;
ALTER TABLE alarm ADD COLUMN acknowledged_by TEXT;
ALTER TABLE alarm ADD COLUMN acknowledged_note TEXT;
ALTER TABLE alarm ADD COLUMN shelved_until_ms INTEGER;
ALTER TABLE alarm ADD COLUMN shelved_by TEXT;
ALTER TABLE alarm ADD COLUMN shelved_reason TEXT;
ALTER TABLE alarm ADD COLUMN silenced INTEGER NOT NULL DEFAULT 0;
-- Since when it gates, where that is later than it was raised.
ALTER TABLE alarm ADD COLUMN gating_ms INTEGER NOT NULL DEFAULT 0;
-- Times it was raised since `flaps_since_ms`.
ALTER TABLE alarm ADD COLUMN flaps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alarm ADD COLUMN flaps_since_ms INTEGER NOT NULL DEFAULT 0;
-- 1: it has ended, and stands on only because it comes and goes too often to be written each time.
ALTER TABLE alarm ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;
-- The worst severity it had since it was raised, once it is not that bad any more; '' before.
ALTER TABLE alarm ADD COLUMN worst TEXT NOT NULL DEFAULT '';

CREATE INDEX alarm_standing ON alarm (raised_ms, site_id, alarm_id, entity) WHERE cleared_ms IS NULL;
CREATE INDEX alarm_standing_severity ON alarm (severity, raised_ms, site_id, alarm_id, entity) WHERE cleared_ms IS NULL;
CREATE INDEX alarm_standing_id ON alarm (alarm_id, raised_ms, site_id, entity) WHERE cleared_ms IS NULL;
CREATE INDEX alarm_standing_site ON alarm (site_id, raised_ms, alarm_id, entity) WHERE cleared_ms IS NULL;
CREATE INDEX alarm_standing_gating ON alarm (raised_ms, site_id, alarm_id, entity) WHERE gating = 1 AND cleared_ms IS NULL;
CREATE INDEX alarm_flapping ON alarm (flaps_since_ms) WHERE flaps > 6 AND cleared_ms IS NULL;
CREATE INDEX alarm_shelved ON alarm (shelved_until_ms) WHERE shelved_until_ms IS NOT NULL;
CREATE INDEX alarm_silenced ON alarm (site_id) WHERE silenced = 1;
CREATE INDEX alarm_cleared ON alarm (cleared_ms) WHERE cleared_ms IS NOT NULL;

-- What happened to alarms, in order; `actor` and `note` are a person's where one did it.
CREATE TABLE alarm_event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  site_id TEXT NOT NULL,
  alarm_id TEXT NOT NULL,
  entity TEXT NOT NULL,
  change TEXT NOT NULL,
  severity TEXT NOT NULL,
  -- who was told of an alarm as critical is told of its end, whatever it has become meanwhile
  worst TEXT NOT NULL,
  text TEXT NOT NULL,
  gating INTEGER NOT NULL,
  silenced INTEGER NOT NULL,
  actor TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE INDEX alarm_event_time ON alarm_event (at_ms);
CREATE INDEX alarm_event_site ON alarm_event (site_id, at_ms);

-- Numbers that would be costly to count: kind 'site' by presence (or state, where not enrolled), kind 'alarm' by severity/condition.
CREATE TABLE tally (
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

INSERT INTO tally (kind, key, n) SELECT 'site', CASE state WHEN 'enrolled' THEN presence ELSE state END, count(*) FROM site GROUP BY 2;
INSERT INTO tally (kind, key, n) SELECT 'alarm', severity || '/active', count(*) FROM alarm WHERE cleared_ms IS NULL GROUP BY 2;

CREATE TRIGGER site_added AFTER INSERT ON site BEGIN
  INSERT INTO tally (kind, key, n) VALUES ('site', CASE new.state WHEN 'enrolled' THEN new.presence ELSE new.state END, 1)
    ON CONFLICT (kind, key) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER site_moved AFTER UPDATE OF presence, state ON site
  WHEN CASE old.state WHEN 'enrolled' THEN old.presence ELSE old.state END <> CASE new.state WHEN 'enrolled' THEN new.presence ELSE new.state END BEGIN
  UPDATE tally SET n = n - 1 WHERE kind = 'site' AND key = CASE old.state WHEN 'enrolled' THEN old.presence ELSE old.state END;
  INSERT INTO tally (kind, key, n) VALUES ('site', CASE new.state WHEN 'enrolled' THEN new.presence ELSE new.state END, 1)
    ON CONFLICT (kind, key) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER site_dropped AFTER DELETE ON site BEGIN
  UPDATE tally SET n = n - 1 WHERE kind = 'site' AND key = CASE old.state WHEN 'enrolled' THEN old.presence ELSE old.state END;
END;

-- The condition of a standing alarm: what first keeps it from asking for attention. The shelf ends with the job that takes alarms from it.
CREATE TRIGGER alarm_counted AFTER INSERT ON alarm WHEN new.cleared_ms IS NULL BEGIN
  INSERT INTO tally (kind, key, n)
    VALUES ('alarm', new.severity || '/' || CASE WHEN new.shelved_until_ms IS NOT NULL THEN 'shelved' WHEN new.silenced = 1 THEN 'silenced' WHEN new.acknowledged_ms IS NOT NULL THEN 'acknowledged' ELSE 'active' END, 1)
    ON CONFLICT (kind, key) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER alarm_recounted AFTER UPDATE OF severity, cleared_ms, acknowledged_ms, shelved_until_ms, silenced ON alarm
  WHEN old.severity <> new.severity OR (old.cleared_ms IS NULL) <> (new.cleared_ms IS NULL) OR (old.acknowledged_ms IS NULL) <> (new.acknowledged_ms IS NULL)
    OR (old.shelved_until_ms IS NULL) <> (new.shelved_until_ms IS NULL) OR old.silenced <> new.silenced BEGIN
  UPDATE tally SET n = n - 1
    WHERE old.cleared_ms IS NULL AND kind = 'alarm'
      AND key = old.severity || '/' || CASE WHEN old.shelved_until_ms IS NOT NULL THEN 'shelved' WHEN old.silenced = 1 THEN 'silenced' WHEN old.acknowledged_ms IS NOT NULL THEN 'acknowledged' ELSE 'active' END;
  INSERT INTO tally (kind, key, n)
    SELECT 'alarm', new.severity || '/' || CASE WHEN new.shelved_until_ms IS NOT NULL THEN 'shelved' WHEN new.silenced = 1 THEN 'silenced' WHEN new.acknowledged_ms IS NOT NULL THEN 'acknowledged' ELSE 'active' END, 1
    WHERE new.cleared_ms IS NULL
    ON CONFLICT (kind, key) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER alarm_dropped AFTER DELETE ON alarm WHEN old.cleared_ms IS NULL BEGIN
  UPDATE tally SET n = n - 1
    WHERE kind = 'alarm'
      AND key = old.severity || '/' || CASE WHEN old.shelved_until_ms IS NOT NULL THEN 'shelved' WHEN old.silenced = 1 THEN 'silenced' WHEN old.acknowledged_ms IS NOT NULL THEN 'acknowledged' ELSE 'active' END;
END;

-- Functions that do not know `changed_ms` yet leave it at 0.
CREATE TRIGGER alarm_raised AFTER INSERT ON alarm WHEN new.cleared_ms IS NULL BEGIN
  INSERT INTO alarm_event (at_ms, site_id, alarm_id, entity, change, severity, worst, text, gating, silenced, actor, note)
    VALUES (max(new.changed_ms, new.raised_ms), new.site_id, new.alarm_id, new.entity, 'raised', new.severity, new.severity, new.text, new.gating, new.silenced, new.changed_by, new.note);
END;
CREATE TRIGGER alarm_changed AFTER UPDATE OF severity, cleared_ms, acknowledged_ms, shelved_until_ms, silenced ON alarm
  WHEN old.severity <> new.severity OR old.cleared_ms IS NOT new.cleared_ms OR (old.acknowledged_ms IS NULL AND new.acknowledged_ms IS NOT NULL)
    OR old.shelved_until_ms IS NOT new.shelved_until_ms OR (old.silenced = 1 AND new.silenced = 0) BEGIN
  INSERT INTO alarm_event (at_ms, site_id, alarm_id, entity, change, severity, worst, text, gating, silenced, actor, note)
    SELECT max(new.changed_ms, new.raised_ms, coalesce(new.cleared_ms, 0)), new.site_id, new.alarm_id, new.entity, c.change, new.severity,
      CASE c.change WHEN 'raised' THEN new.severity
        ELSE (SELECT w.severity FROM (SELECT new.severity AS severity UNION ALL SELECT old.severity UNION ALL SELECT old.worst) AS w WHERE w.severity <> '' ORDER BY instr('critical major minor warning', w.severity) LIMIT 1) END,
      new.text, new.gating,
      -- what was never announced needs no end to be announced; on the shelf nothing new is, but whoever heard of it hears its end
      CASE WHEN c.change = 'cleared' THEN old.silenced WHEN c.change IN ('raised', 'changed') AND new.shelved_until_ms IS NOT NULL THEN 1 ELSE new.silenced END, new.changed_by, new.note
    FROM (SELECT CASE
      WHEN old.cleared_ms IS NULL AND new.cleared_ms IS NOT NULL THEN 'cleared'
      WHEN old.cleared_ms IS NOT NULL AND new.cleared_ms IS NULL THEN 'raised'
      WHEN new.cleared_ms IS NOT NULL THEN NULL
      WHEN old.silenced = 1 AND new.silenced = 0 THEN 'raised'
      WHEN old.shelved_until_ms IS NOT new.shelved_until_ms THEN CASE WHEN new.shelved_until_ms IS NULL THEN 'unshelved' ELSE 'shelved' END
      WHEN old.acknowledged_ms IS NULL AND new.acknowledged_ms IS NOT NULL THEN 'acknowledged'
      ELSE 'changed' END AS change) AS c
    WHERE c.change IS NOT NULL;
END;
CREATE TRIGGER alarm_eased AFTER UPDATE OF severity, cleared_ms ON alarm
  WHEN new.cleared_ms IS NULL AND (CASE WHEN old.cleared_ms IS NULL
    THEN instr('critical major minor warning', new.severity) > instr('critical major minor warning', old.severity) ELSE new.worst <> '' END) BEGIN
  UPDATE alarm SET worst = CASE WHEN old.cleared_ms IS NOT NULL THEN '' WHEN old.worst <> '' AND instr('critical major minor warning', old.worst) < instr('critical major minor warning', old.severity) THEN old.worst ELSE old.severity END
    WHERE site_id = new.site_id AND alarm_id = new.alarm_id AND entity = new.entity;
END;
