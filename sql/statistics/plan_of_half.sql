-- Two halves of the students are counted side by side already: workers of each would only take turns with the other.
SET LOCAL max_parallel_workers_per_gather = 0;
