"""Users, roles and who may do what: the v2 auth API.

`rules` is pure: users, roles, rights, and how changes are merged into them.  `documents` is their
JSON, `store` their place in the replicated tree, `passwords` hashes and checks off the event loop.
`faces` are the routes below `/v2/auth`; `access` is the check that stands in front of all others.
"""
