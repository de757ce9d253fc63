-- What sites watch. Rules select sites by label; a site's row says which rules it was worked out for, and what its agent holds.

CREATE TABLE monitoring_rule (
  name TEXT PRIMARY KEY,
  label_selector TEXT NOT NULL,
  priority INTEGER NOT NULL,
  settings TEXT NOT NULL,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE site ADD COLUMN monitoring TEXT NOT NULL DEFAULT '{}';
-- The generation of rules that `monitoring_wanted`, a digest of settings, was worked out for; 0: look again.
ALTER TABLE site ADD COLUMN monitoring_checked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE site ADD COLUMN monitoring_wanted TEXT;
-- The digest that its agent said it follows; '' once it was told another and has not answered yet; null where it cannot say.
ALTER TABLE site ADD COLUMN monitoring_held TEXT;
-- Not told again before this, and how often it was told in vain.
ALTER TABLE site ADD COLUMN monitoring_due_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE site ADD COLUMN monitoring_tries INTEGER NOT NULL DEFAULT 0;
-- Nodes where somebody works: [{node, reason, by, atMs}].
ALTER TABLE site ADD COLUMN locks TEXT NOT NULL DEFAULT '[]';
CREATE INDEX site_monitoring ON site (monitoring_checked, id) WHERE state = 'enrolled';
-- Sites that can be told and follow something else: usually none.
CREATE INDEX site_monitoring_lacking ON site (monitoring_due_ms, id) WHERE state = 'enrolled' AND presence = 'online' AND monitoring_held <> monitoring_wanted;
