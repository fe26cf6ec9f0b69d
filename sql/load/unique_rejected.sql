-- Identical texts are told apart by their occurrence, so that a re-run adds none and loses none.
CREATE TEMPORARY TABLE unique_rejected ON COMMIT DROP AS
SELECT reason, raw, raw_digest, row_number() OVER (PARTITION BY raw_digest ORDER BY seq) AS occurrence
FROM pg_temp.staged_rejected;
