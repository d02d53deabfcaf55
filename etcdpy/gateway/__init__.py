"""gateway: `etcdpy gateway start`, which passes TCP connections on to the members of a cluster.

The main object is `service.Gateway`:

    gateway = Gateway(endpoints, retry_delay_s, connections_max)
    await gateway.serve(listener)   # until it is cancelled

`command` reads the words of the command line, `finding` makes endpoints of them (given, or from the
SRV records of a domain), `endpoints` says which of them is next, `pairs` passes bytes in both
directions.  It looks into nothing that it passes on: clients with TLS speak it with the member.
"""
