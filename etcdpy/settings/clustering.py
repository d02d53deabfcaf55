"""Settings of the cluster that a member founds or joins, and how it changes.

Source: spec/config.md section 2.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from etcdpy.settings.kinds import (
    BOOLEAN,
    CLUSTER_STATE,
    CLUSTERING,
    FALLBACK,
    TEXT,
    URLS,
    Setting,
)
from etcdpy.settings.member import DEFAULT_CLIENT_URL, DEFAULT_NAME, DEFAULT_PEER_URL

DEFAULT_INITIAL_CLUSTER = f"{DEFAULT_NAME}={DEFAULT_PEER_URL}"


class ClusteringSettings(BaseModel):
    """How this member and the others find each other."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    initial_advertise_peer_urls: Annotated[
        tuple[str, ...],
        Setting(
            "initial-advertise-peer-urls",
            URLS,
            CLUSTERING,
            "Where the other members reach this one.",
            bound="host is not empty",
        ),
    ] = (DEFAULT_PEER_URL,)
    initial_cluster: Annotated[
        str,
        Setting(
            "initial-cluster",
            TEXT,
            CLUSTERING,
            "The founding members, `name=peer-url,...`; ignored once there is a log."
            " Follows --name and --initial-advertise-peer-urls where only a name is given.",
        ),
    ] = DEFAULT_INITIAL_CLUSTER
    initial_cluster_state: Annotated[
        str,
        Setting(
            "initial-cluster-state",
            CLUSTER_STATE,
            CLUSTERING,
            "Whether to found a cluster (`new`) or to join one (`existing`).",
        ),
    ] = "new"
    initial_cluster_token: Annotated[
        str,
        Setting(
            "initial-cluster-token",
            TEXT,
            CLUSTERING,
            "Goes into the ids of a new cluster, so that two clusters never mix.",
        ),
    ] = "etcd-cluster"
    advertise_client_urls: Annotated[
        tuple[str, ...],
        Setting(
            "advertise-client-urls",
            URLS,
            CLUSTERING,
            "Where clients reach this member, as the members list tells them.",
            bound="host is not empty",
        ),
    ] = (DEFAULT_CLIENT_URL,)
    discovery: Annotated[
        str,
        Setting(
            "discovery",
            TEXT,
            CLUSTERING,
            "A URL of some v2 server under which the founders meet; in place of --initial-cluster.",
        ),
    ] = ""
    discovery_fallback: Annotated[
        str,
        Setting(
            "discovery-fallback",
            FALLBACK,
            CLUSTERING,
            "What to do when the cluster under --discovery is full: become its `proxy`, or `exit`.",
        ),
    ] = "proxy"
    discovery_proxy: Annotated[
        str,
        Setting(
            "discovery-proxy",
            TEXT,
            CLUSTERING,
            "The HTTP proxy through which --discovery is reached.",
        ),
    ] = ""
    discovery_srv: Annotated[
        str,
        Setting(
            "discovery-srv",
            TEXT,
            CLUSTERING,
            "A domain whose SRV records name the founders; in place of --initial-cluster.",
        ),
    ] = ""
    discovery_srv_name: Annotated[
        str,
        Setting(
            "discovery-srv-name",
            TEXT,
            CLUSTERING,
            "A suffix of the names of these records: `_etcd-server-ssl-NAME._tcp`.",
        ),
    ] = ""
    discovery_service: Annotated[
        bool,
        Setting(
            "discovery-service",
            BOOLEAN,
            CLUSTERING,
            "Serve `/new?size=N`, which makes a URL for --discovery, to other clusters.",
        ),
    ] = False
    strict_reconfig_check: Annotated[
        bool,
        Setting(
            "strict-reconfig-check",
            BOOLEAN,
            CLUSTERING,
            "Refuse changes of members that would lose the quorum.",
        ),
    ] = True
    initial_election_tick_advance: Annotated[
        bool,
        Setting(
            "initial-election-tick-advance",
            BOOLEAN,
            CLUSTERING,
            "Hold the first election after a start as soon as a majority is connected.",
        ),
    ] = True
    pre_vote: Annotated[
        bool,
        Setting(
            "pre-vote",
            BOOLEAN,
            CLUSTERING,
            "Accepted for etcd's sake; a pre-vote round is always held.",
        ),
    ] = True
