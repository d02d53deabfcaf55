"""Metrics: which there are (`etcd`, `own`, `families`), and how they are counted and written.

A leaf of the house: any part may keep a `Histogram`, but most keep plain integers and know nothing
of metrics at all.  `telemetry` reads these when somebody scrapes, so that counting costs the hot
paths no more than an addition.
"""
