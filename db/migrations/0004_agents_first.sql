-- Agents of other protocol versions: what the oldest version is that an agent speaks, and which rollout brings the
-- agents that another one needs. Both are null where nobody has said so.
ALTER TABLE site ADD COLUMN protocol_min INTEGER;
ALTER TABLE rollout ADD COLUMN after_rollout TEXT;
