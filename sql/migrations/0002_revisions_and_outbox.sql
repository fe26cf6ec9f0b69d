-- What was published of each day, revision by revision, and which letters were handed over.

CREATE TABLE etl_revisions (
    process_date date NOT NULL,
    mode text NOT NULL CHECK (mode IN ('full', 'test')),
    revision integer NOT NULL CHECK (revision > 0),
    complete boolean NOT NULL,
    unique_users bigint NOT NULL,
    runs bigint NOT NULL,
    submits bigint NOT NULL,
    successful_submits bigint NOT NULL,
    run_id bigint,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (process_date, mode, revision)
);

COMMENT ON TABLE etl_revisions IS
    'The figures of a day. A whole day that changes gets a further revision; one that was not over is replaced.';

CREATE TABLE etl_outbox (
    message_id text PRIMARY KEY,
    process_date date NOT NULL,
    mode text NOT NULL,
    state text NOT NULL CHECK (state IN ('handing over', 'sent', 'failed')),
    run_id bigint,
    changed_at timestamptz NOT NULL
);

COMMENT ON TABLE etl_outbox IS
    'Letters. One that is still being handed over when its run is gone may have been sent: it is not sent again.';
