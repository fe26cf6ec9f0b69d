COPY pg_temp.staged_rejected (seq, reason, raw_digest, raw) FROM STDIN
