"""The kubelet: pods on a node, from binding to the last status.

Lives here: the pure `sync` of a pod, its worker, probes, volumes, environment, logs, node status and lease.
May not: know which engine runs the containers (runtime/ hides it), or where the API server is (client/).
"""
