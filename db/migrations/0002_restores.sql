-- What a restored database believed of each site when it came back, and what the site has said since. Empty where nothing was ever restored.

CREATE TABLE restored_site (
  site_id TEXT PRIMARY KEY,
  verdict TEXT NOT NULL,
  restored_ms INTEGER NOT NULL,
  running TEXT,
  attempt TEXT,
  heard_ms INTEGER,
  heard_seq INTEGER,
  heard_running TEXT,
  heard_attempt TEXT,
  heard_trust INTEGER
) STRICT, WITHOUT ROWID;
