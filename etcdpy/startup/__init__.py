"""Start-up: from settings and what is on disk to a member that can run.

`listeners` opens the sockets, `securing` makes their TLS, and `exposure` says which files others
can reach; `bootstrap` decides whether this member founds a cluster, joins one or restarts, with the
help of `joining` (what the others say), `resolving` (whether two lists of URLs lead to the same
places) and `recovering` (`--force-new-cluster`).  All of it is done before the first entry is
proposed; nothing here runs later.
"""
