"""Links of proxied pages."""

from __future__ import annotations

import pytest

from pilothouse.apiserver.html_links import rewrite_page, rewrite_url

PREFIX, HOSTS = "/api/v1/namespaces/n/pods/p:80/proxy", ("10.1.1.1:80", "api:6443")


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("/a/b?c=d#e", f"{PREFIX}/a/b?c=d#e"),
        ("/dir/", f"{PREFIX}/dir/"),
        ("http://10.1.1.1:80/x", f"{PREFIX}/x"),
        ("relative", "relative"),
        ("http://elsewhere/x", "http://elsewhere/x"),
        (f"{PREFIX}/x", f"{PREFIX}/x"),
    ],
)
def test_a_link_goes_through_the_proxy(url: str, through: str):
    assert rewrite_url(url, PREFIX, HOSTS) == through


def test_start_tags_are_written_anew_and_the_rest_stays():
    page = """<HTML><HEAD><TITLE>a <b></TITLE></HEAD><!-- <A HREF="/x"> -->
<A class=k HREF='/x?a=1&amp;b=2'>x</A><img SRC=/i.png /><script>if (a < b) "<a href='/y'>"</script><p>&amp;</P>"""
    assert rewrite_page(page, PREFIX, HOSTS) == (
        """<html><head><title>a <b></TITLE></HEAD><!-- <A HREF="/x"> -->
"""
        f"""<a class="k" href="{PREFIX}/x?a=1&amp;b=2">x</A><img src="{PREFIX}/i.png"/>"""
        """<script>if (a < b) "<a href='/y'>"</script><p>&amp;</P>"""
    )
