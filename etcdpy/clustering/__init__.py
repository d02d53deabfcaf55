"""Clustering: a member's life among others, once it runs.

`members` keeps the other members and the ways to them in step with the rows of the tree;
`membership` is the form of a change of members in the log, `reconfiguration` the way from an
operator's wish to its result, `versions` the release that all agree on.  `failover` and `handover`
shorten elections, `trouble` finds words for requests that were not done in time, and `clocks`
watches how far the members' clocks are apart.
"""
