"""simulation: whole clusters in one thread, over virtual time, networks and disks.

A run is a function of its seed.  `plan` draws a profile and a list of actions; `world` carries
them out on members that are the real core, pump, store and tree (`member`), connected by a
`network` and keeping their files on simulated disks; `invariants` looks at every step, `history`,
`linearizability` and `watching` at what clients saw.  `python -m tests.simulation` runs many
seeds, prints for a failing one the command that repeats it, and shrinks it (`shrink`).

Nothing here reads a clock or an unseeded source of randomness, and nothing depends on the order
of a set: the same seed gives the same bytes of trace in every process.
"""
