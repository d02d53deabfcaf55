"""Settings of monitoring and logs, and those that are unsafe or out of date.

Source: spec/config.md section 2.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from etcdpy.settings.kinds import (
    BOOLEAN,
    DEPRECATED,
    LOGGING,
    MONITORING,
    TEXT,
    TEXTS,
    UNSAFE,
    URLS,
    Setting,
)

LOGGERS = ("capnslog", "zap")
LOG_LEVELS = ("debug", "info", "warn", "error", "panic", "fatal")


class MonitoringSettings(BaseModel):
    """Where a member may be looked at."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    listen_metrics_urls: Annotated[
        tuple[str, ...],
        Setting(
            "listen-metrics-urls",
            URLS,
            MONITORING,
            "Where `/metrics` and `/health` are served as well, beside the clients' URLs.",
            bound="host is an IP address or localhost",
        ),
    ] = ()


class LoggingSettings(BaseModel):
    """What is said, and in which form."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    logger: Annotated[
        str,
        Setting(
            "logger",
            TEXT,
            LOGGING,
            "The form of log lines: `capnslog` (plain text) or `zap` (JSON).",
            bound="capnslog, zap",
        ),
    ] = "capnslog"
    log_level: Annotated[
        str,
        Setting(
            "log-level",
            TEXT,
            LOGGING,
            "The least serious lines that are written.",
            bound=", ".join(LOG_LEVELS),
        ),
    ] = "info"
    log_outputs: Annotated[
        tuple[str, ...],
        Setting(
            "log-outputs",
            TEXTS,
            LOGGING,
            "Where log lines go: `default` (stderr, or the journal under systemd), `stderr`,"
            " `stdout`; with `zap` also a file's path or `systemd/journal`, and several.",
        ),
    ] = ("default",)
    log_package_levels: Annotated[
        str,
        Setting(
            "log-package-levels",
            TEXT,
            LOGGING,
            "Levels of single parts, `etcdserver=DEBUG,*=WARNING`; with `capnslog` only.",
        ),
    ] = ""
    metrics: Annotated[
        str,
        Setting(
            "metrics",
            TEXT,
            LOGGING,
            "How much `/metrics` shows: `extensive` has more for those who work on etcdpy.",
            bound="basic, extensive",
        ),
    ] = "basic"


class UnsafeSettings(BaseModel):
    """What gives up a promise."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    force_new_cluster: Annotated[
        bool,
        Setting(
            "force-new-cluster",
            BOOLEAN,
            UNSAFE,
            "Go on alone with the data of a cluster that has lost its majority;"
            " for one start, ignored where there is no log.",
        ),
    ] = False
    unsafe_no_fsync: Annotated[
        bool,
        Setting(
            "unsafe-no-fsync",
            BOOLEAN,
            UNSAFE,
            "Answer writes before they are safe on disk: a power cut loses data.",
        ),
    ] = False


class DeprecatedSettings(BaseModel):
    """What has another form by now."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    debug: Annotated[
        bool, Setting("debug", BOOLEAN, DEPRECATED, "The same as --log-level=debug.")
    ] = False
