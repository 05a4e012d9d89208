"""How every actor reads, writes and watches: one interface, in-process or over HTTP.

Lives here: `Client`, its two implementations (only `local.py` knows the server), informers and their listers, the event recorder.
May not: know any actor, or write around the API's own stages.
"""
