"""A revisioned, watchable key-value log, shaped like etcd: memory, SQLite (later etcd).

Lives here: durability, revisions, group commit, watches, compaction, and the contract suite's promises.
May not: know what a value means (no Kubernetes, no JSON).
"""
