"""Benchmarks: what a request, a watch event, a pod, an idle cluster costs. Never part of the tests; `make bench` runs them."""
