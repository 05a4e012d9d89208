"""HTTP, authentication, authorization, admission, resources, watch.

Lives here: the straight line of a write, the cache of bytes that reads and watches are served from, the kinds' strategies.
May not: act on its own behalf (that is a controller), or know how the store keeps its data.
"""
