-- The ledger knows two further kinds of runs: the quarantine of a day validated again, and the adoption of an older
-- script's table. What asks for the last run of a day goes on asking for mode 'full'.

ALTER TABLE etl_runs
    DROP CONSTRAINT etl_runs_mode_check,
    ADD CONSTRAINT etl_runs_mode_check CHECK (mode IN ('full', 'test', 'replay', 'adoption'));
