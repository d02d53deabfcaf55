"""Tables: which paths each kind of listener has, and which face answers them.

A file of its own because it is the list of all that a member serves, and nothing else.
Source: spec/keys.md section 1, spec/observability.md section 0, spec/cluster.md section 2.
"""

from etcdpy.http import (
    debug,
    discovery_service,
    health,
    keys,
    machines,
    member_requests,
    members,
    metrics,
    stats,
    version,
)
from etcdpy.http.auth import faces as auth
from etcdpy.http.form import FORM_BYTES_MAX
from etcdpy.http.routes import BodyRule, Route, Routes

_KEYS = Route(
    None,
    keys.ALLOWED,
    is_keys=True,
    body=BodyRule(keys.METHODS_WITH_FORM, keys.has_form, FORM_BYTES_MAX, keys.FORM_TOO_LARGE),
)
_MEMBERS = Route(
    members.serve_members,
    members.ALLOWED,
    body=BodyRule(
        member_requests.METHODS_WITH_BODY,
        member_requests.is_body_wanted,
        member_requests.BODY_BYTES_MAX,
        member_requests.BODY_TOO_LARGE,
    ),
    guard=members.guard,
)
_AUTH_BODY = BodyRule(
    auth.METHODS_WITH_BODY, auth.is_body_wanted, auth.BODY_BYTES_MAX, auth.BODY_TOO_LARGE
)
_USERS = Route(auth.serve_users, b"", body=_AUTH_BODY, guard=auth.guard_named)
_ROLES = Route(auth.serve_roles, b"", body=_AUTH_BODY, guard=auth.guard_named)
_METRICS_FACES = {
    b"/health": Route(health.get_health, b"GET"),
    b"/metrics": Route(metrics.get_metrics, b"", is_compressible=True),
}
_CLIENT_FACES = {
    **_METRICS_FACES,
    b"/version": Route(version.get_version, b"GET"),
    b"/debug/vars": Route(debug.get_vars, b"GET"),
    debug.LOG_LEVEL_PATH: Route(
        debug.put_log_level,
        b"PUT",
        body=BodyRule(
            frozenset(("PUT",)), debug.is_body_wanted, debug.BODY_BYTES_MAX, debug.BODY_TOO_LARGE
        ),
    ),
    b"/v2/machines": Route(machines.get_machines, b"GET,HEAD"),
    b"/v2/stats/self": Route(stats.get_self, b"GET"),
    b"/v2/stats/leader": Route(stats.get_leader, b"GET"),
    b"/v2/stats/store": Route(stats.get_store, b"GET"),
    auth.SWITCH_PATH: Route(auth.serve_switch, auth.SWITCH_ALLOWED, guard=auth.guard_switch),
}
_PEER_FACES = {
    b"/version": Route(version.get_version, b"GET"),
    b"/members": Route(members.get_peer_members, b"GET"),
    b"/raft": Route(None, b"POST", is_raft=True),
    b"/raft/probing": Route(health.get_probing, b"GET,POST,PUT,DELETE,HEAD,PATCH,OPTIONS"),
    b"/raft/snapshot": Route(None, b"POST", is_raft=True),
    b"/raft/snapshot/etcdpy": Route(None, b"POST", is_raft=True),
}
_CLIENT_SUBTREES = {
    keys.PREFIX: _KEYS,
    member_requests.PREFIX: _MEMBERS,
    auth.USERS_PATH: _USERS,
    auth.ROLES_PATH: _ROLES,
}
CLIENT_ROUTES = Routes(_CLIENT_FACES, _CLIENT_SUBTREES)
CLIENT_ROUTES_WITHOUT_V2 = Routes(
    {path: route for path, route in _CLIENT_FACES.items() if not path.startswith(b"/v2/")}, {}
)
#: For who lets other clusters meet here.
CLIENT_ROUTES_WITH_DISCOVERY = Routes(
    {
        **_CLIENT_FACES,
        discovery_service.PATH: Route(discovery_service.make_token, b"GET", is_self_naming=True),
    },
    _CLIENT_SUBTREES,
)
#: What a listener for metrics only has.
METRICS_ROUTES = Routes(_METRICS_FACES, {}, has_cors=False)
PEER_ROUTES = Routes(
    _PEER_FACES, {b"/raft/stream": Route(None, b"GET", is_raft=True)}, has_cors=False
)
