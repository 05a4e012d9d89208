"""How structs show themselves inside messages."""

from pilothouse.api.fielderrors import shown
from pilothouse.api.validation.go_struct import as_go


def test_members_go_by_their_go_names_in_the_structs_order_and_are_there_when_empty():
    spec = {"selector": {"matchLabels": {"a": "b"}}, "minAvailable": 1, "maxUnavailable": "1%"}
    assert shown(as_go("policy.v1.PodDisruptionBudgetSpec", spec)) == (
        '{"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":"1%","UnhealthyPodEvictionPolicy":null}'
    )


def test_lists_of_structs_and_initialisms():
    class_ = {"selectors": [{"cel": {"expression": "a < b"}}]}
    assert shown(as_go("resource.v1.DeviceClassSpec", class_)).startswith(
        '{"Selectors":[{"CEL":{"Expression":"a \\u003c b"}}],"Config":null'
    )


def test_nothing_is_null():
    assert shown(as_go("networking.v1.ParentReference", None)) == "null"
