-- Which objects may go from the store. A release that was collected keeps its row, so that its name and version stay taken.

ALTER TABLE release ADD COLUMN collected_ms INTEGER;
-- When its publisher last did anything for it; null before anybody looked.
ALTER TABLE release ADD COLUMN touched_ms INTEGER;

-- Objects on their way out: of no release any more, and not removed from the store yet.
CREATE TABLE object_removal (
  object TEXT PRIMARY KEY,
  stored_bytes INTEGER NOT NULL,
  taken_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Everything a release is made of, which is asked only when it is collected.
CREATE INDEX release_object_release ON release_object (release_id);
