"""Tokens of service accounts that live in Secrets."""

from __future__ import annotations

import base64

import pytest

from pilothouse.apiserver.authentication import Authenticator
from pilothouse.apiserver.config import ApiConfig
from pilothouse.apiserver.tokens import TokenError, Tokens
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random

ACCOUNT = {"metadata": {"name": "robot", "namespace": "ns", "uid": "u1"}}
SECRET = {"metadata": {"name": "s", "namespace": "ns", "uid": "u2"}}


class Lister(dict):
    def get(self, resource, namespace, name):
        return super().get((resource, namespace, name))


def test_a_secrets_token_is_good_while_the_secret_holds_it():
    config = ApiConfig()
    tokens = Tokens(config.issuer, b"", VirtualClock(), Random(1))
    token = tokens.issue_legacy(ACCOUNT, SECRET)
    held = {**SECRET, "data": {"token": base64.b64encode(token.encode()).decode()}}
    lister = Lister({("serviceaccounts", "ns", "robot"): ACCOUNT, ("secrets", "ns", "s"): held})
    authenticator = Authenticator(config, tokens, lister)
    user = authenticator.check_token(token)
    assert (user.name, user.uid) == ("system:serviceaccount:ns:robot", "u1")
    lister["secrets", "ns", "s"] = {**SECRET, "data": {"token": "b3RoZXI="}}
    with pytest.raises(TokenError):
        authenticator.check_token(token)
    del lister["secrets", "ns", "s"]
    with pytest.raises(TokenError):
        authenticator.check_token(token)
