"""consensus: Raft, as a pure state machine with an asyncio driver apart from it.

Its one main object is `core.Raft`.  Around it: `pump.Pump` orders what has to be done with what
the core hands out, and `driver.Driver` does it.  The package knows nothing of keys, HTTP or JSON:
an entry is bytes.  It keeps its log through `interfaces.Storage`, gives committed entries to an
`Applier` and messages to a `Transport`; the member puts them together.

    driver      asyncio, the timer, the one thread that writes       does
    pump        batch -> ordered actions                             says in which order
    core        calls -> Ready; role x message -> handler            says what
    election    replication    reads    membership    proposals      the duties
    state       every field, by lifetime, with its invariant
    log    progress    quorum                                        the arithmetic
    codec  interfaces  messages                                      values, and what others owe

A start
-------
A new cluster's members each write the same `membership.bootstrap_entries` with
`bootstrap_hard_state`: N configuration changes at term 1, committed.  They are applied as any
other entry, a single voter then campaigns at once, and the first leader's empty entry is index
N + 1 in term 2.  A member that joins starts with nothing and waits for the leader's log.  A
restart applies again from the snapshot on: the commit index on disk may lag, for it is written
with the next frame and never alone.

The loop
--------
One round, from all that has arrived to the next:

    actions = pump.begin(batch)        # step, tick, propose; then one Ready, ordered
    ... do each action in order ...    # SoftStateChanged SendNow SendSnapshot Apply ReleaseReads
                                       # Install Persist
    actions = pump.persisted()         # only if there was something to persist
    ... do each action in order ...    # SendAfterPersist Apply ReleaseReads

The duties of whoever runs it, in order:

1. SendNow and SendSnapshot may leave at once: appends, heartbeats, forwarded proposals, questions
   about reads, timeout-now.  An append may reach a follower's disk before the leader's own.
2. Apply: hand the entries to the application, in order, each once, then tell `pump.applied` the
   last index and which configuration changes the application refuses.
3. Install: put the received snapshot in the place of log and application state, durably.
4. Persist: write hard state and entries as one frame, fsync, then make them visible in the
   storage's view.  If it fails nothing more may be done: the member ends.
5. `pump.persisted`.  From here on the leader counts its own log as far as it is durable, and a
   candidate its own vote.
6. SendAfterPersist: vote and pre-vote requests and every response.  Sorted by the message's type,
   never by the role: a batch may begin as candidate and end as leader.
7. ReleaseReads: their index is applied; they may be answered.

A crash is to drop core and pump and to start again on what the storage recovers.

Membership changes take effect when they are applied, one at a time; `membership` says which
guards that needs.  An id that was removed never comes back: the application refuses that.

Messages, and what each role does on them
-----------------------------------------
Of any message: one of a later term makes a follower of every role, but for a pre-vote, a granted
pre-vote, and a vote that a member ignores because it has heard of its leader within an election
timeout.  One of an earlier term is dropped; append, heartbeat and pre-vote get an answer that
shows the later term.  One of a member that was removed is answered with `REMOVED`.

PROPOSE              A leader appends the entries if it leads the term that the message is of and
                     has not taken this very message before.  Others drop it: a proposal is never
                     in the log twice by our doing.  (Proposals of this member wait while there
                     is no leader, then go to it in a PROPOSE each batch.)
APPEND               Followers take the entries if the one before them fits, move their commit
                     index, and answer with the last index that agrees; else with a hint where
                     the logs may agree, a term at a time.  Candidates of that term become
                     followers.  A leader of that term stops: two leaders in a term are the end
                     of all promises.  But one that is in no configuration here is not believed
                     against a member: that is dropped.
APPEND_RESPONSE      The leader moves `match`, commits what a quorum has if it is of its term,
                     and sends what there is room for; on a rejection it probes further back.
                     Others ignore it.
HEARTBEAT            Followers learn that the leader lives and what is committed, and answer with
                     the round that it carries.  Candidates and leader: as for APPEND.
HEARTBEAT_RESPONSE   The leader notes that the member lives, sends what may have been lost, and
                     counts the answer for the round of reads.  Others ignore it.
PRE_VOTE             Everybody says whether it would vote: the log must be as new as its own.  No
                     term or vote changes.
PRE_VOTE_RESPONSE    A pre-candidate counts it; with a quorum it begins the term and asks for
                     votes.  A refusal says what is committed, and whoever holds that very entry
                     commits it.
VOTE                 Everybody votes once in a term, for a log that is as new as its own.
VOTE_RESPONSE        A candidate counts it; with a quorum it leads, beginning with an empty
                     entry.  A refusal says what is committed, as above.
SNAPSHOT             Its bytes have come before it.  A follower whose log holds the place commits
                     up to it; one whose log does not gives up the log for it.  The answer is
                     that of APPEND.
TIMEOUT_NOW          A follower that may campaign does so at once, with votes for which nobody
                     asks whether there is a leader.  Others ignore it.
TRANSFER             A leader hands leadership to the voter named: brings its log up to date,
                     then sends TIMEOUT_NOW, and holds proposals meanwhile, for an election
                     timeout at most.  Others ignore it.
READ_INDEX           A leader answers with its commit index when a round of heartbeats has shown
                     that it still leads, and not before it has committed an entry of its term.
                     Others ignore it: who asked asks again.
READ_INDEX_RESPONSE  Who asked serves the read when it has applied the index.
REMOVED              The member knows that it was removed, campaigns no more and should stop.
"""
