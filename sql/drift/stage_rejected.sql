INSERT INTO pg_temp.audited_rejected SELECT decode(digest, 'hex') FROM unnest(%(digests)s::text[]) AS digest;
