-- A day's quarantine as today's rules see it, in the order in which it came: with a reason, or as an event. Gone with
-- the transaction.
CREATE TEMPORARY TABLE replayed (
    seq bigint NOT NULL,
    raw_digest bytea NOT NULL,
    occurrence integer NOT NULL,
    received_at timestamptz NOT NULL,
    reason text,
    user_id text COLLATE "C",
    created_at timestamptz,
    oauth_consumer_key text COLLATE "C",
    lis_result_sourcedid text COLLATE "C",
    lis_outcome_service_url text COLLATE "C",
    is_correct boolean,
    attempt_type text COLLATE "C",
    defects text[]
) ON COMMIT DROP;
