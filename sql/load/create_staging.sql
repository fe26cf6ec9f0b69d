-- What this run was sent, in the order it came; gone with the transaction.
CREATE TEMPORARY TABLE staged_events (
    seq bigint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    oauth_consumer_key text COLLATE "C",
    lis_result_sourcedid text COLLATE "C",
    lis_outcome_service_url text COLLATE "C",
    is_correct boolean,
    attempt_type text COLLATE "C" NOT NULL,
    defects text[] NOT NULL
) ON COMMIT DROP;

CREATE TEMPORARY TABLE staged_rejected (
    seq bigint NOT NULL,
    reason text NOT NULL,
    raw_digest bytea NOT NULL,
    raw text NOT NULL
) ON COMMIT DROP;
