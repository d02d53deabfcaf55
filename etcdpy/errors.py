"""The errors that cross package borders, and the table of the API's error codes.

A leaf: it imports nothing of ours and everything may import it.  An error's class says whose
fault it is and therefore how it ends; see the classes below.
Source: spec/errors.md of the reference recordings (etcd 3.4.23).
"""

from typing import NamedTuple


class ErrorText(NamedTuple):
    """What the API says of one code."""

    status: int
    message: str


KEY_NOT_FOUND = 100
COMPARE_FAILED = 101
NOT_A_FILE = 102
NOT_A_DIRECTORY = 104
KEY_EXISTS = 105
ROOT_READ_ONLY = 107
DIRECTORY_NOT_EMPTY = 108
UNAUTHORIZED = 110
QUOTA_EXCEEDED = 120
TOO_MANY_REQUESTS = 121
PREV_VALUE_REQUIRED = 201
TTL_NOT_A_NUMBER = 202
INDEX_NOT_A_NUMBER = 203
INVALID_FIELD = 209
INVALID_FORM = 210
REFRESH_WITH_VALUE = 211
REFRESH_WITHOUT_TTL = 212
RAFT_INTERNAL = 300
EVENT_INDEX_CLEARED = 401

ERROR_TEXTS: dict[int, ErrorText] = {
    KEY_NOT_FOUND: ErrorText(404, "Key not found"),
    COMPARE_FAILED: ErrorText(412, "Compare failed"),
    NOT_A_FILE: ErrorText(403, "Not a file"),
    NOT_A_DIRECTORY: ErrorText(400, "Not a directory"),
    KEY_EXISTS: ErrorText(412, "Key already exists"),
    ROOT_READ_ONLY: ErrorText(400, "Root is read only"),
    DIRECTORY_NOT_EMPTY: ErrorText(403, "Directory not empty"),
    UNAUTHORIZED: ErrorText(401, "The request requires user authentication"),
    # Not etcd's.  No 5xx: etcd's Go client takes that for a member without a leader, says so in the
    # place of the cause, and does the write again elsewhere.
    QUOTA_EXCEEDED: ErrorText(403, "Quota exceeded"),
    TOO_MANY_REQUESTS: ErrorText(429, "Too many requests"),
    PREV_VALUE_REQUIRED: ErrorText(400, "PrevValue is Required in POST form"),
    TTL_NOT_A_NUMBER: ErrorText(400, "The given TTL in POST form is not a number"),
    INDEX_NOT_A_NUMBER: ErrorText(400, "The given index in POST form is not a number"),
    INVALID_FIELD: ErrorText(400, "Invalid field"),
    INVALID_FORM: ErrorText(400, "Invalid POST form"),
    REFRESH_WITH_VALUE: ErrorText(400, "Value provided on refresh"),
    REFRESH_WITHOUT_TTL: ErrorText(400, "A TTL must be provided on refresh"),
    RAFT_INTERNAL: ErrorText(500, "Raft Internal Error"),
    EVENT_INDEX_CLEARED: ErrorText(400, "The event in requested index is outdated and cleared"),
}


class EtcdError(Exception):
    """A refusal that is a result of the API: the client reads its code, cause and index.

    `cause` is bytes because it can quote keys and values, which are bytes; `index` is the store
    index at which the refusal was decided, 0 where none was.
    """

    def __init__(self, code: int, cause: bytes = b"", index: int = 0) -> None:
        super().__init__(code, cause, index)
        self.code = code
        self.cause = cause
        self.index = index

    def __str__(self) -> str:
        text = ERROR_TEXTS[self.code].message
        return f"{self.code}: {text} ({self.cause.decode('utf-8', 'replace')}) [{self.index}]"


class ReconfigurationError(Exception):
    """A change of the members has no effect; `cause` is etcd's text, `member_id` whom it was about.

    The texts of refusals by the cluster's own state are the values of `tree.members.MemberRefusal`.
    """

    def __init__(self, cause: str, member_id: int) -> None:
        super().__init__(cause)
        self.cause = cause
        self.member_id = member_id


class ConfigError(Exception):
    """What the operator wrote cannot be used; ends as one line and `exit_code`."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class PeerError(Exception):
    """The other side broke the protocol or speaks another version: close, count, log."""


class FatalError(Exception):
    """Our disk or our invariants: going on would not be truthful; one line and exit code 1."""


class ContentError(FatalError):
    """A snapshot is, byte for byte, as it was written, and makes no sense to this version.

    Of a file of our own that is fatal; of one that is being received it is the sender's fault.
    """
