-- What this run was sent, each key once; gone with the transaction. The index finds a part of it.
CREATE TEMPORARY TABLE staged_events (
    user_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    oauth_consumer_key text COLLATE "C",
    lis_result_sourcedid text COLLATE "C",
    lis_outcome_service_url text COLLATE "C",
    is_correct boolean,
    attempt_type text COLLATE "C" NOT NULL,
    defects text[] NOT NULL,
    run_id bigint NOT NULL
) ON COMMIT DROP;
CREATE INDEX ON pg_temp.staged_events (created_at);
