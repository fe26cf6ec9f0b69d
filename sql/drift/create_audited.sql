-- What the source sends now, for no run. The tables are the session's: between the parts of a fetch no transaction is open.
CREATE TEMPORARY TABLE audited_events (
    user_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    oauth_consumer_key text COLLATE "C",
    lis_result_sourcedid text COLLATE "C",
    lis_outcome_service_url text COLLATE "C",
    is_correct boolean,
    attempt_type text COLLATE "C" NOT NULL,
    defects text[] NOT NULL,
    run_id bigint NOT NULL
);

CREATE TEMPORARY TABLE audited_rejected (raw_digest bytea NOT NULL);
