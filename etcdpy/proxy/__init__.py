"""The proxy: answers clients in the place of a cluster's members, and holds no data of its own.

`server.ProxyServer` is the main object.  A request that comes on a `downstream` connection is
answered here (`routing`), handed to a member and its answer handed back (`relay`, `upstream`), or,
where watches are coalesced, joined to one watch that many share (`watches`, by the rule of
`sharing`).  Which members there are is asked again and again (`refreshing`) and who of them is
tried is the `director`'s part.  Nothing here reads settings, and nothing decides what a key is
worth.
"""
