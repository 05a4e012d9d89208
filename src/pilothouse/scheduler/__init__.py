"""Which node a pod goes to: Kubernetes' extension points, one plugin a file.

Lives here: the queue, the snapshot of nodes, the plugins, the reasons that FailedScheduling prints.
May not: do I/O but through client/.
"""
