"""What is on disk: the data directory and its lock, the write-ahead log, the snapshot files.

Its one main object is `storage.Storage`, the Storage that consensus asks for.  The order of calls:

1. `DataDir.open(files, path, wal_path)` looks before it touches: a directory of etcd, or one that
   lost its log, is refused; then it takes the lock and says whether it `is_fresh`.
2. Fresh: `Storage.create(data_dir, metadata, shapes)`.  Else `Storage.recover(data_dir, shapes)`:
   the storage, the caller's metadata, the newest snapshot's rows to load, notes for the log.
3. `write` in the one thread that owns the log, then `stabilise` on the loop, once per batch.
4. Now and then: `begin_snapshot`, rows, `finish` in a thread; then `snapshot_saved` and `compact`
   on the loop, `purge` in the thread that owns the log.  A snapshot that the leader sent:
   `begin_received`, blocks, `finish`; `install` in the log's thread; `installed` on the loop.

Every operation on a disk goes through `files.Files`, so that tests can lose, tear, delay and fail
it.  Values come and go as plain tuples: (term, index, kind, data) is an entry, (term, vote,
commit) a hard state, (index, term, configuration) a snapshot's place.

It must never know what an entry means, nor import the packages that do.
"""
