"""Settings of a proxy, which stands in the place of a member and has no data.

Source: spec/config.md section 2, spec/cluster.md section 9.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from etcdpy.settings.kinds import BOOLEAN, NUMBER, PROXY, PROXY_MODE, Setting

OFF, READONLY, ON = "off", "readonly", "on"


class ProxySettings(BaseModel):
    """How requests are handed to members, and what is not waited for."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    proxy: Annotated[
        str,
        Setting(
            "proxy",
            PROXY_MODE,
            PROXY,
            "Hand requests to the members of --initial-cluster instead of being one of them;"
            " `readonly` hands on GET only. Once a data directory is used, it is what decides."
            " In a YAML file, in quotes.",
        ),
    ] = OFF
    proxy_failure_wait_ms: Annotated[
        int,
        Setting(
            "proxy-failure-wait",
            NUMBER,
            PROXY,
            "How long a member is left alone that could not be reached.",
            unit="ms",
        ),
    ] = 5000
    proxy_refresh_interval_ms: Annotated[
        int,
        Setting(
            "proxy-refresh-interval",
            NUMBER,
            PROXY,
            "How often the members are asked who they are and where clients reach them.",
            unit="ms",
            bound="100 at least",
        ),
    ] = 30000
    proxy_dial_timeout_ms: Annotated[
        int,
        Setting(
            "proxy-dial-timeout",
            NUMBER,
            PROXY,
            "How long a connection to a member may take.",
            unit="ms",
            bound="0 for any time",
        ),
    ] = 1000
    proxy_write_timeout_ms: Annotated[
        int,
        Setting(
            "proxy-write-timeout",
            NUMBER,
            PROXY,
            "How long a member may leave a request unread.",
            unit="ms",
            bound="0 for any time",
        ),
    ] = 5000
    proxy_read_timeout_ms: Annotated[
        int,
        Setting(
            "proxy-read-timeout",
            NUMBER,
            PROXY,
            "How long a member may be silent; ends watches too.",
            unit="ms",
            bound="0 for any time",
        ),
    ] = 0
    proxy_coalesce: Annotated[
        bool,
        Setting(
            "proxy-coalesce",
            BOOLEAN,
            PROXY,
            "Hold watches of the same key by the same user as one watch at a member, and tell all"
            " of them what it is told.",
        ),
    ] = False
