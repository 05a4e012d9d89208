"""Which node a pod goes to: Kubernetes' extension points, one plugin a file.

Lives here: the snapshot of nodes and the pure cycle over it, the plugins and their reasons, the queue; the shell that follows and binds.
May not: do I/O but through client/, and only in `scheduler.py`, `binding.py` and `events.py`.
"""
