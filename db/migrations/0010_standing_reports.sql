-- Which report of a site (of which incarnation) last said by itself what stands there: what its alarms said before that is void.
ALTER TABLE site ADD COLUMN standing_incarnation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE site ADD COLUMN standing_seq INTEGER NOT NULL DEFAULT 0;
