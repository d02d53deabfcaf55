"""tree: the replicated state machine, pure and deterministic.

The main object is `tree.Tree`: a hierarchy of files and directories with etcd's v2 semantics, a
store index that counts changes, the last 1000 events, and the watchers.  The order of calls:

    event = command.apply(tree, command)   # or EtcdError: both are results of the command
    for watcher in tree.hub.take_ready():  # those whom this command told something
        ...                                # watcher.owner takes watcher.take() to its client

Reads are `Tree.get`, watches `Tree.watch` and `Tree.unwatch`.  `capture.rows` and
`snapshot.restore` are the way out and in; `members` keeps the cluster's members as rows of the
same tree, under `/0`, beside the users' keys under `/1`.

Nothing here reads a clock, does I/O or calls back into its caller: time comes in as `now_ns`, what
happened goes out as values.  Two trees that applied the same commands have equal digests.
Nothing here recurses, because a path may have 10,000 levels.
"""
