"""The way to other members and back, over HTTP: the Transport that consensus asks for.

`transport` owns the peers as a set, `peer` is one of them: its queue, its dialling (`dialer`, with
the client of `client`), and its two streams (`stream`, made of `frames`).  `port` is the accepting
side's routes, `protocol` what both sides must agree on.  Snapshots travel by a POST of their own:
`snapshot_sender` and `snapshot_stream`.  `stats` is what is counted of all this.
"""
