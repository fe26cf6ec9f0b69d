DELETE FROM etl_runs WHERE id = ANY (%(ids)s) RETURNING 1;
