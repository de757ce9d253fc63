-- What a decision reads must not grow with the fleet: each of these finds what is next without going through what is not.

CREATE INDEX deployment_pending ON deployment (rollout_id, wave, place) WHERE state = 'pending';
CREATE INDEX deployment_waits ON deployment (rollout_id, not_before_ms) WHERE state = 'pending';
CREATE INDEX deployment_deadline ON deployment (rollout_id, deadline_ms) WHERE state IN ('granted', 'running');
CREATE INDEX directive_expiry ON directive (expires_ms) WHERE expires_ms IS NOT NULL;
