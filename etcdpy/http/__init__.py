"""http: the faces of a member, from bytes to values and back.

The main object is `app.HttpServer`, one for the client port and one for the peer port:

    server = HttpServer(backend, CLIENT_ROUTES)
    await server.start(sockets)     # accepts, and stays silent
    server.set_ready()              # answers
    await server.stop()             # cuts

A request passes `connection` (the socket's side, with etcd's manners).  One for keys is answered
by `fast`, where it was read; any other by `handler` (aiohttp's part of a connection), `app` (the
adapter), `routes` (which face), then a face.  Either way it is `runner` that does what a keys
request asks for.  `receiver`, `heads` and `chunks` turn bytes into requests or refusals by etcd's
rules, without I/O.  The keys API is made of pure functions: `target`, `form`, `params` and `keys`
read a request, `events`, `gojson` and `wire` write the answer, `watch` feeds a client that waits.
Only `app` and `handler` know aiohttp.

It never decides what is allowed to happen: that is the member's, seen through `backend.Backend`.
"""
