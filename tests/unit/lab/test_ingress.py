"""Which Ingresses are served, and as what. That nginx obeys is shown in test_ingress_nginx."""

import itertools
from typing import Any

import pytest

from lab.ingress import rules
from lab.ingress.config import Listen, render
from lab.ingress.rules import Cluster, Options, Site
from tests.unit.lab.ingress_cluster import cluster, ingress, ingress_class, service

WEB = service("web", "10.0.0.1:8080")
API = service("api", "10.0.0.2:8080")


def build(*objects: Any) -> Site:
    found = cluster(*objects)
    return rules.build(rules.ours(found), found)


def routing(site: Site) -> dict[str, str]:
    """Each location as `host match -> service`."""
    return {
        f"{server.host} {match}": location.upstream.name.split("_")[1]
        for server in site.servers
        for match, location in server.locations.items()
    }


def endpoints(site: Site) -> tuple[str, ...]:
    (location,) = {loc for server in site.servers for loc in server.locations.values()}
    return location.upstream.endpoints


def text(found: Cluster) -> str:
    site = rules.build(rules.ours(found), found)
    return render(site.servers, {}, Listen("127.0.0.1"), root=False)


@pytest.mark.parametrize(
    ("path", "kind", "matches"),
    [
        ("/", "Prefix", ['"/"']),
        ("/a", "Prefix", ['= "/a"', '"/a/"']),
        ("/a/", "Prefix", ['= "/a"', '"/a/"']),
        ("/a", "Exact", ['= "/a"']),
        ("/a/", "Exact", ['= "/a/"']),
        ("/a", "ImplementationSpecific", ['"/a"']),
        ("", "ImplementationSpecific", ['"/"']),
    ],
)
def test_a_path_becomes_the_locations_of_its_type(path: str, kind: str, matches: list[str]) -> None:
    site = build(ingress("one", (f"a.test{path}", kind, "web:80")))
    assert routing(site) == {f"a.test {match}": "web" for match in matches}


def test_an_exact_path_wins_over_the_same_prefix_of_an_older_ingress() -> None:
    site = build(
        ingress("old", ("a.test/x", "Prefix", "web:80"), created=1),
        ingress("new", ("a.test/x", "Exact", "api:80"), created=2),
    )
    assert routing(site) == {'a.test = "/x"': "api", 'a.test "/x/"': "web"}
    assert site.reports == []


def test_the_older_ingress_keeps_a_path_and_the_younger_is_told() -> None:
    young = ingress("a-young", ("a.test/", "Prefix", "api:80"), created=2)
    old = ingress("z-old", ("a.test/", "Prefix", "web:80"), created=1)
    site = build(young, old)
    assert routing(site) == {'a.test "/"': "web"}
    assert [(report.ingress, report.message) for report in site.reports] == [
        (young, "a.test/ is left to default/z-old, which was there first")
    ]


def test_a_default_backend_takes_what_no_path_takes() -> None:
    alone = build(ingress("one", default="web:80"))
    beside = build(ingress("one", ("a.test/x", "Exact", "api:80"), default="web:80"))
    assert routing(alone) == {' "/"': "web"}
    assert routing(beside) == {'a.test = "/x"': "api", 'a.test "/"': "web"}


@pytest.mark.parametrize(
    ("class_name", "annotation", "served"),
    [
        ("nginx", None, True),
        ("second", None, True),
        ("traefik", None, False),
        ("missing", None, False),
        (None, None, True),
        (None, "nginx", True),
        (None, "traefik", False),
    ],
)
def test_only_ingresses_of_our_classes_are_served(
    class_name: str | None, annotation: str | None, served: bool
) -> None:
    legacy = {"kubernetes.io/ingress.class": annotation} if annotation else {}
    site = build(
        ingress(
            "one", ("a.test/", "Prefix", "web:80"), class_name=class_name, raw_annotations=legacy
        ),
        ingress_class("second", rules.CONTROLLER),
        ingress_class("traefik", "traefik.io/ingress-controller"),
    )
    assert bool(site.served) is served
    assert bool(routing(site)) is served


@pytest.mark.parametrize(
    ("backend", "objects", "expected"),
    [
        ("web:80", service("web", "10.0.0.2:81", "10.0.0.1:81"), ("10.0.0.1:81", "10.0.0.2:81")),
        ("web:http", service("web", "10.0.0.1:81"), ("10.0.0.1:81",)),
        ("web:80", service("web", "10.0.0.1:81", "!10.0.0.2:81"), ("10.0.0.1:81",)),
        ("web:80", service("web", "10.0.0.1:81", "10.0.0.1:81"), ("10.0.0.1:81",)),
        ("web:80", service("web", port_name=""), ()),
        ("web:80", service("web", "10.0.0.1:81", port_name=""), ("10.0.0.1:81",)),
        ("web:81", service("web", "10.0.0.1:81"), ()),
        ("web:metrics", service("web", "10.0.0.1:81"), ()),
        ("web:80", service("api", "10.0.0.1:81"), ()),
    ],
)
def test_requests_go_to_the_ready_endpoints_of_the_services_port(
    backend: str, objects: list[Any], expected: tuple[str, ...]
) -> None:
    assert endpoints(build(ingress("one", ("a.test/", "Prefix", backend)), *objects)) == expected


def test_endpoints_of_another_namespace_stay_out() -> None:
    elsewhere = service("web", "10.0.0.9:80")
    for item in elsewhere:
        item.metadata.namespace = "other"
    site = build(ingress("one", ("a.test/", "Prefix", "web:80")), *WEB, *elsewhere)
    assert endpoints(site) == ("10.0.0.1:8080",)


@pytest.mark.parametrize(
    ("annotations", "options"),
    [
        ({}, Options()),
        ({"proxy_body_size": "0"}, Options(body_size="0")),
        ({"proxy_body_size": "10M"}, Options(body_size="10m")),
        ({"proxy_body_size": ""}, Options()),
        ({"proxy_request_buffering": "off"}, Options(request_buffering="off")),
        ({"proxy_buffering": "on"}, Options(buffering="on")),
        ({"proxy_read_timeout": "600"}, Options(read_timeout="600")),
        ({"proxy_send_timeout": "600"}, Options(send_timeout="600")),
        ({"proxy_connect_timeout": "9"}, Options(connect_timeout="9")),
        ({"backend_protocol": "HTTPS"}, Options(protocol="https")),
        ({"ssl_redirect": "false"}, Options(ssl_redirect="false")),
        ({"force_ssl_redirect": "true"}, Options(force_ssl_redirect="true")),
    ],
)
def test_annotations_set_the_options_of_their_ingress(
    annotations: dict[str, Any], options: Options
) -> None:
    site = build(ingress("one", ("a.test/", "Prefix", "web:80"), **annotations))
    assert [server.locations['"/"'].options for server in site.servers[1:]] == [options]


ATTACKS = [
    "1m; return 200",
    "1m;\n}",
    "off\n;",
    "on; include /etc/passwd",
    "$request_uri",
    "#",
    '"',
    "{}",
    "-1",
    "1e3",
    "٣",
    "60s",
    "1 m",
    "yes",
    "ftp",
]


@pytest.mark.parametrize("annotation", rules._ANNOTATIONS)
@pytest.mark.parametrize("value", ATTACKS)
def test_a_wrong_annotation_leaves_out_its_ingress_and_no_other(
    annotation: str, value: str
) -> None:
    wrong = {rules.ANNOTATION + annotation: value}
    bad = ingress("bad", ("bad.test/", "Prefix", "web:80"), raw_annotations=wrong)
    site = build(bad, ingress("good", ("good.test/", "Prefix", "api:80")))
    assert routing(site) == {'good.test "/"': "api"}
    (report,) = site.reports
    assert report.ingress is bad
    assert report.reason == "Rejected"
    assert report.message.startswith(f"not served: annotation {rules.ANNOTATION}{annotation}: exp")


@pytest.mark.parametrize(
    "where",
    [
        'a.test/x" { return 200; } #',
        "a.test/x y",
        "a.test/x;",
        "a.test/$request_uri",
        "a.test/(.*)",
        "a.test/x\n",
        "a.test;/",
        "a.test\n/",
        '~^.*$" /',
        "*/",
        "a.*.test/",
        "A.test/",
        "-a.test/",
        "a..test/",
    ],
)
def test_a_wrong_host_or_path_leaves_out_its_ingress_and_no_other(where: str) -> None:
    bad = ingress("bad", (where, "Prefix", "web:80"), ("fine.test/", "Prefix", "web:80"))
    site = build(bad, ingress("good", ("good.test/", "Prefix", "api:80")))
    assert routing(site) == {'good.test "/"': "api"}
    assert [report.reason for report in site.reports] == ["Rejected"]


@pytest.mark.parametrize("backend", ["web;:80", "web:a b", "web:", "{}:80"])
def test_a_backend_with_an_impossible_name_is_refused(backend: str) -> None:
    site = build(ingress("bad", ("a.test/", "Prefix", backend)))
    assert site.served == []
    assert [report.reason for report in site.reports] == ["Rejected"]


def test_a_backend_that_is_no_service_is_refused() -> None:
    bad = ingress("bad", ("a.test/", "Prefix", "web:80"))
    bad.spec.rules[0].http.paths[0].backend.service = None
    assert build(bad).served == []


def test_an_annotation_without_effect_is_reported_and_its_ingress_served() -> None:
    site = build(ingress("one", ("a.test/", "Prefix", "web:80"), rewrite_target="/"))
    assert routing(site) == {'a.test "/"': "web"}
    assert [report.message for report in site.reports] == [
        "annotation nginx.ingress.kubernetes.io/rewrite-target has no effect in the lab"
    ]


@pytest.mark.parametrize(
    ("host", "tls", "expected"),
    [
        ("a.test", [], (False, "")),
        ("a.test", [{"hosts": ["a.test"], "secretName": "s"}], (True, "default/s")),
        ("a.test", [{"hosts": ["b.test"], "secretName": "s"}], (False, "")),
        ("a.test", [{"hosts": ["*.test"], "secretName": "s"}], (True, "default/s")),
        ("b.a.test", [{"hosts": ["*.test"], "secretName": "s"}], (False, "")),
        ("*.test", [{"hosts": ["*.test"], "secretName": "s"}], (True, "default/s")),
        ("a.test", [{"secretName": "s"}], (True, "default/s")),
        ("a.test", [{"hosts": ["a.test"]}], (True, "")),
        ("", [{"secretName": "s"}], (True, "default/s")),
    ],
)
def test_a_host_gets_the_certificate_that_names_it(
    host: str, tls: list[dict[str, Any]], expected: tuple[bool, str]
) -> None:
    site = build(ingress("one", (f"{host}/", "Prefix", "web:80"), tls=tls))
    (server,) = [server for server in site.servers if server.host == host]
    assert (server.tls, server.secret) == expected


def test_the_order_in_which_objects_are_seen_changes_nothing() -> None:
    objects = [
        ingress("one", ("a.test/", "Prefix", "web:80"), ("b.test/x", "Exact", "api:80")),
        ingress("two", ("b.test/", "Prefix", "web:80"), created=1),
        *WEB,
        *API,
        *service("web", "10.0.0.3:8080")[1:],
    ]
    texts = {text(cluster(*some)) for some in itertools.permutations(objects)}
    assert len(texts) == 1


def test_two_protocols_to_one_service_share_no_connections() -> None:
    configuration = text(
        cluster(
            ingress("one", ("a.test/", "Prefix", "web:80")),
            ingress("two", ("b.test/", "Prefix", "web:80"), backend_protocol="HTTPS"),
            *WEB,
        )
    )
    assert "upstream default_web_80_http {" in configuration
    assert "upstream default_web_80_https {" in configuration
