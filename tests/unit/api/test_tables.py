"""Tables: every printer gives as many cells as it has columns, and columns say what they mean."""

import pytest

from pilothouse.api.kinds import kind_of_resource
from pilothouse.api.tables import PRINTERS, SCALE, columns, row

OBJECT = {"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}, "status": {}}


ODD = {SCALE, "ipaddresses.networking.k8s.io"}  # Kubernetes gives an IPAddress an age without a column


@pytest.mark.parametrize("resource", sorted(set(PRINTERS) - ODD))
def test_a_row_has_a_cell_for_each_column_even_of_an_empty_object(resource):
    kind = kind_of_resource(resource)
    assert len(row(kind, OBJECT, 1.8e9)) == len(columns(kind))


def test_a_column_is_described_as_the_field_it_shows():
    described = {c["name"]: c["description"] for c in columns(kind_of_resource("services"))}
    assert described["Cluster-IP"].startswith("clusterIP is the IP address of the service")
    assert described["Age"].count("\n\n") == 1, "paragraphs are kept"
