-- What the fleet's resources are doing. A block of a quarter of an hour is one row, in a ring of slots for each site that is
-- written over in place; a day of a site is one row in a longer ring; what is older rests in the object store.

-- `body` last: who asks for summaries reads nothing of it.
CREATE TABLE metric_block (
  site_id TEXT NOT NULL,
  slot INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  received_ms INTEGER NOT NULL,
  incarnation INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  summary TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (site_id, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE metric_day (
  site_id TEXT NOT NULL,
  slot INTEGER NOT NULL,
  day INTEGER NOT NULL,
  summary TEXT NOT NULL,
  PRIMARY KEY (site_id, slot)
) STRICT, WITHOUT ROWID;

-- Objects with the blocks of a day of the sites up to `last_site`, from behind that of the row before it; '~' ends the day. `object`
-- is empty where none of them said anything.
CREATE TABLE metric_pack (
  day INTEGER NOT NULL,
  last_site TEXT NOT NULL,
  object TEXT NOT NULL,
  stored_bytes INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (day, last_site)
) STRICT, WITHOUT ROWID;

-- How full a site is: its fullest filesystem, in permille, and in how many days its first one is full.
CREATE TABLE capacity (
  site_id TEXT PRIMARY KEY,
  used INTEGER NOT NULL,
  node TEXT NOT NULL,
  path TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  growth_bytes_per_day REAL,
  days_left REAL,
  measured_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX capacity_used ON capacity (used, site_id);
CREATE INDEX capacity_days_left ON capacity (days_left, site_id) WHERE days_left IS NOT NULL;

-- Sites that somebody looks at right now, with their newest samples.
CREATE TABLE live_view (
  site_id TEXT PRIMARY KEY,
  until_ms INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  samples TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a site that is gone had in use is nobody's any more; its packs stay as long as all others.
CREATE TRIGGER site_metrics_dropped AFTER UPDATE OF state ON site WHEN new.state = 'removed' AND old.state <> 'removed' BEGIN
  DELETE FROM metric_block WHERE site_id = new.id;
  DELETE FROM metric_day WHERE site_id = new.id;
  DELETE FROM capacity WHERE site_id = new.id;
  DELETE FROM live_view WHERE site_id = new.id;
END;
