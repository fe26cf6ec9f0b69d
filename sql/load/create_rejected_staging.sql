-- The rejected events of this run in the order they came; gone with the transaction.
CREATE TEMPORARY TABLE staged_rejected (
    seq bigint NOT NULL,
    reason text NOT NULL,
    raw_digest bytea NOT NULL,
    raw text NOT NULL
) ON COMMIT DROP;
