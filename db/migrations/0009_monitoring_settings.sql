-- What sites watch. Rules select sites by label; a site's row says which rules it was worked out for, and what its agent holds.

CREATE TABLE monitoring_rule (
  name TEXT PRIMARY KEY,
  label_selector TEXT NOT NULL,
  priority INTEGER NOT NULL,
  settings TEXT NOT NULL,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE site ADD COLUMN monitoring TEXT NOT NULL DEFAULT '{}';
-- The generation of rules and settings that `monitoring_wanted` was worked out for; 0: look again.
ALTER TABLE site ADD COLUMN monitoring_checked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE site ADD COLUMN monitoring_wanted TEXT;
-- What its agent said it follows, '' for the defaults; null before it said anything.
ALTER TABLE site ADD COLUMN monitoring_held TEXT;
-- Nodes where somebody works: [{node, reason, by, atMs}].
ALTER TABLE site ADD COLUMN locks TEXT NOT NULL DEFAULT '[]';
CREATE INDEX site_monitoring ON site (monitoring_checked, id) WHERE state = 'enrolled';
