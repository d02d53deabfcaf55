"""mutants: deliberate defects of kinds that real systems had, each of which must be caught.

`elections`, `replication`, `requests` and `store` hold the defects, `harness` puts one in and
takes it out again.  `python -m tests.simulation.mutants` prints who caught which: a transcript, or
the simulator with how many seeds and by which invariant.  A mutant that nothing catches is a hole
in the tests.
"""
