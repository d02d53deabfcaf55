"""Telemetry: one member, seen from outside.

`telemetry` answers who scrapes or asks for health, out of `exhibits`, the list of which number of
which part is which metric.  `disk`, `machine` and `pauses` measure what the parts cannot see
themselves; `stats` is what `/v2/stats` tells.  The parts keep plain integers: see `metrics` for
how they are counted and written.
"""
