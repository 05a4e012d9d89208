"""How every actor reads, writes and watches: one interface, in-process or over HTTP.

Lives here: `Client`, its two implementations, informers and their listers, the event recorder.
May not: know any actor, or reach around the API (no store, no cache of the server).
"""
