-- The events, the quarantine, the ledger of runs and what was published.
-- Texts compare bytewise (collation C): keys are identifiers, and their order means nothing to people.

CREATE TABLE lms_activities (
    user_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    oauth_consumer_key text COLLATE "C",
    lis_result_sourcedid text COLLATE "C",
    lis_outcome_service_url text COLLATE "C",
    is_correct boolean,
    attempt_type text COLLATE "C" NOT NULL CHECK (attempt_type IN ('run', 'submit')),
    defects text[] NOT NULL DEFAULT '{}',
    run_id bigint NOT NULL,
    loaded_at timestamptz NOT NULL
);

COMMENT ON TABLE lms_activities IS 'Learning events: students'' code runs and submits.';
COMMENT ON COLUMN lms_activities.is_correct IS 'Result of a submit; null for a run.';
COMMENT ON COLUMN lms_activities.defects IS 'Flaws the event was loaded with; empty for a sound one.';
COMMENT ON COLUMN lms_activities.run_id IS 'The run (etl_runs.id) that loaded or last corrected the row.';

-- The source gives no event id: this is what makes an event one. Begins with the time, so that it serves the day's range, too.
CREATE UNIQUE INDEX lms_activities_key
    ON lms_activities (created_at, user_id, attempt_type, lis_result_sourcedid) NULLS NOT DISTINCT;

CREATE TABLE lms_activities_rejected (
    run_id bigint NOT NULL,
    process_date date NOT NULL,
    reason text NOT NULL,
    raw text NOT NULL,
    received_at timestamptz NOT NULL,
    raw_digest bytea NOT NULL,
    occurrence integer NOT NULL,
    PRIMARY KEY (process_date, raw_digest, occurrence)
);

COMMENT ON TABLE lms_activities_rejected IS 'Quarantine: events that were not loaded, once per day, text and occurrence.';
COMMENT ON COLUMN lms_activities_rejected.raw IS 'The event as the source spelled it, JSON in ASCII.';
COMMENT ON COLUMN lms_activities_rejected.raw_digest IS 'SHA-256 of raw.';

CREATE TABLE etl_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    process_date date NOT NULL,
    mode text NOT NULL CHECK (mode IN ('full', 'test')),
    status text NOT NULL CHECK (status IN ('running', 'ok', 'partial', 'failed', 'interrupted')),
    complete boolean NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    received bigint,
    loaded bigint,
    updated bigint,
    already_present bigint,
    rejected bigint,
    defective bigint,
    missing_at_source bigint,
    sheet text,
    mail text,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    error text,
    error_parts jsonb,
    CHECK (received = loaded + updated + already_present + rejected)
);

COMMENT ON TABLE etl_runs IS 'Run ledger: one row per run and day.';

COMMENT ON COLUMN etl_runs.error IS 'What went wrong, in English.';
COMMENT ON COLUMN etl_runs.error_parts IS 'The same as template and fields, to be worded in any language.';

CREATE INDEX etl_runs_day ON etl_runs (process_date, id);

CREATE TABLE etl_publications (
    process_date date NOT NULL,
    mode text NOT NULL,
    target text NOT NULL CHECK (target IN ('sheet', 'mail')),
    destination text NOT NULL,
    fingerprint text NOT NULL,
    run_id bigint,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (process_date, mode, target)
);

COMMENT ON TABLE etl_publications IS 'The figures last published of a day, per target: equal ones are not published again.';
