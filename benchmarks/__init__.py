"""Speed and memory of etcdpy beside the real etcd, in one run: `python -m benchmarks`.

A part measures one server at a time and returns `Sample`s; the command runs each part for both
servers by turns, so that what the machine does meanwhile hits both, and prints medians.  Nothing
here passes or fails.
"""
