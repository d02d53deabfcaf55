"""What process-level tests and the benchmarks share: a server as a process, and a small client.

`process.Member` is one server (etcdpy or the real etcd, with the same flags) in a directory of its
own on free loopback ports; `client.Connection` is one keep-alive HTTP connection; `plugin` makes
fixtures of them.  Nothing here knows what a right answer is: that is what the tests are for.
"""
