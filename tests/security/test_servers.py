"""Servers that a run file names: only public ones, this machine, and those that are allowed are connected to."""

import gzip
import socket

import pytest

from swift_core import remote
from swift_core.contracts.reward import RewardFailure
from swift_core.remote import RemoteClient
from swift_core.testing.server import loopback_server

METADATA = "169.254.169.254"
CLOSED = [
    "169.254.169.254",
    "100.100.100.200",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "[64:ff9b:1::a9fe:a9fe]",
    "[3fff::1]",
    "[5f00::1]",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[::]",
    "[ff02::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a00:1::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
]


@pytest.fixture
def names(monkeypatch):
    """Return a table of host names and their addresses, and the names that were looked up."""
    known, asked, look_up = {}, [], socket.getaddrinfo

    def table(host, port, *arguments, **options):
        asked.append(host)
        if host in known:
            return [entry for address in known[host] for entry in look_up(address, port, *arguments, **options)]
        return look_up(host, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", table)
    return known, asked


def failed(client):
    (answer,) = client.ask("/x", [{}])
    assert isinstance(answer, RewardFailure), answer
    return answer


def port_of(server):
    return server.url.rpartition(":")[2]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", CLOSED)
def test_an_address_that_is_not_public_is_refused_before_anything_starts(scheme, host):
    with pytest.raises(ValueError, match="is no public address"):
        RemoteClient(url=f"{scheme}://{host}/v1")
    RemoteClient(url=f"{scheme}://{host}/v1", allow_hosts=[host.strip("[]")])


@pytest.mark.parametrize("url", ["http://judge.example/v1", "http://8.8.8.8/v1"])
def test_plain_http_leaves_this_machine_only_when_it_is_allowed(url):
    with pytest.raises(ValueError, match="plain http is for this machine"):
        RemoteClient(url=url)
    RemoteClient(url=url, allow_hosts=[url.split("/")[2]])


@pytest.mark.parametrize("url", ["https://judge.example/v1", "https://8.8.8.8", "http://localhost:1", "http://[::1]:1"])
def test_public_servers_and_this_machine_need_no_permission(url):
    RemoteClient(url=url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://user:secret@judge.example", "must not hold a user or password"),
        ("file:///etc/passwd", "must begin with http"),
        ("https://", "must name a host"),
        ("https://a:99999", "must be an address of a server"),
        ("https://[::1", "must be an address of a server"),
    ],
)
def test_odd_urls_are_refused_and_a_password_in_one_is_not_repeated(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        RemoteClient(url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("entry", ["https://judge.example", "a b", "", "user@host", "10.0.0.0/99"])
def test_what_is_allowed_are_hosts_and_networks(entry):
    with pytest.raises(ValueError, match="allow_hosts lists host names, addresses and networks"):
        RemoteClient(url="https://judge.example", allow_hosts=[entry])


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", METADATA, "::1", "::ffff:127.0.0.1"])
def test_a_public_name_that_leads_to_a_closed_address_is_not_connected_to(names, address):
    known, _ = names
    with loopback_server(lambda path, body: (200, {})) as server:
        known["judge.example"] = [address]
        failure = failed(RemoteClient(url=f"https://judge.example:{port_of(server)}"))
        assert failure.kind == "error"
        assert "is no public address" in failure.message
        assert server.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1"])
def test_other_spellings_of_this_machine_are_not_taken_for_a_public_server(host):
    with loopback_server(lambda path, body: (200, {})) as server:
        assert "public address" in failed(RemoteClient(url=f"https://{host}:{port_of(server)}")).message
        assert server.asked == []


@pytest.fixture
def reached(monkeypatch):
    """Return the hosts that sockets were connected to."""
    hosts, connect = [], socket.socket.connect

    def watched(self, address):
        hosts.append(address[0] if isinstance(address, tuple) else address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    return hosts


@pytest.mark.parametrize(
    "url",
    [
        "https://2852039166/",  # 169.254.169.254 as one number
        "https://0xa9fea9fe/",
        "https://0251.0376.0251.0376/",
        "https://0xa9.254.0251.254/",
        "https://169.254.43518/",
        "https://169.254.169.254./",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[::ffff:0:a9fe:a9fe]/",
        "https://[::a9fe:a9fe]/",
        "https://[fe80::1%25lo]/",
        "https://judge.example@169.254.169.254/",
        "https://judge.example:443@169.254.169.254/",
        "https://169.254.169.254#@judge.example/",
        "https://169.254.169.254?@judge.example/",
        "https://judge.example\\@169.254.169.254/",
        "https://169.254.169.254\\.judge.example/",
        "https://\uff11\uff16\uff19.254.169.254/",
        "https://169\u3002254\u3002169\u3002254/",
        "https://\u2460\u2465\u2468.254.169.254/",
        "https:///169.254.169.254/",
        "https://169.254.169.254%2f@judge.example/",
        "https://judge.example\t@169.254.169.254/",
        "https:169.254.169.254/",
        "HTTPS://169.254.169.254/",
    ],
)
def test_no_spelling_of_a_url_leads_to_a_closed_address(names, reached, url):
    known, _ = names
    known["judge.example"] = ["127.0.0.1"]  # where nobody could be reached by that name either
    try:
        client = RemoteClient(url=url, max_retries=0, timeout=2.0)
    except ValueError:
        return
    assert failed(client).message
    assert reached == []


def test_a_listed_name_may_be_private_and_its_metadata_address_may_not(names):
    known, _ = names
    with loopback_server(lambda path, body: (200, 7)) as server:
        client = RemoteClient(url=f"http://judge.lan:{port_of(server)}", allow_hosts=["judge.lan"])
        known["judge.lan"] = ["127.0.0.1"]
        assert client.ask("/x", [{}]) == [7]
        assert server.asked[0][2]["Host"] == f"judge.lan:{port_of(server)}"
        known["judge.lan"] = [METADATA]
        assert "clouds keep their metadata" in failed(client).message


def test_a_name_is_looked_up_once_and_the_judged_address_is_the_one_that_is_connected_to(names):
    known, asked = names
    with loopback_server(lambda path, body: (200, 7)) as server:
        known["judge.lan"] = [METADATA, "127.0.0.1"]  # the closed one of two is left out
        client = RemoteClient(url=f"http://judge.lan:{port_of(server)}", allow_hosts=["127.0.0.0/8"], max_concurrency=1)
        assert client.ask("/x", [{}] * 4) == [7] * 4
        assert asked.count("judge.lan") == 1  # a second look might give another answer
        assert set(asked) <= {"judge.lan", "127.0.0.1"}


def test_the_next_address_of_a_name_is_tried_when_one_does_not_listen(names):
    known, _ = names
    with loopback_server(lambda path, body: (200, 7)) as server:
        known["localhost"] = ["::1", "127.0.0.1"]
        assert RemoteClient(url=f"http://localhost:{port_of(server)}").ask("/x", [{}]) == [7]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status):
    where = f"http://{METADATA}/latest/meta-data/"
    with loopback_server(lambda path, body: (status, {}, {"Location": where})) as server:
        assert "redirects are not followed" in failed(RemoteClient(url=server.url)).message
        assert len(server.asked) == 1


def test_an_answer_has_a_largest_size_and_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(remote, "_LARGEST_ANSWER", 1000)
    with loopback_server(lambda path, body: (200, b"1" * 5000)) as server:
        assert "the answer has more than 1000 bytes" in failed(RemoteClient(url=server.url)).message
    bomb = gzip.compress(b"[" + b"1," * 10**6 + b"1]")
    monkeypatch.setattr(remote, "_LARGEST_ANSWER", 10**5)
    with loopback_server(lambda path, body: (200, bomb, {"Content-Encoding": "gzip"})) as server:
        assert "the answer is no JSON" in failed(RemoteClient(url=server.url)).message


@pytest.mark.parametrize("answer", [b"[" * 10**5, b"\xff\xfe", b"9" * 10**4, b""])
def test_an_answer_that_is_no_json_that_can_be_read_fails_alone(answer):
    with loopback_server(lambda path, body: (200, answer)) as server:
        assert "the answer is no JSON" in failed(RemoteClient(url=server.url)).message


@pytest.mark.parametrize("status", [200, 400, 503])
def test_neither_the_key_nor_what_was_sent_is_quoted_from_an_answer(monkeypatch, status):
    monkeypatch.setenv("JUDGE_KEY", "sk-canary-key")

    def echo(path, body):
        said = "for model any: " + (body["prompt"] if body["prompt"] else "the key sk-canary-key is not valid")
        return status, said.encode()

    with loopback_server(echo) as server:
        client = RemoteClient(url=server.url, api_key_env="JUDGE_KEY", max_retries=0)
        answers = client.ask("/x", [{"model": "any", "prompt": "canary of a prompt"}, {"model": "any", "prompt": ""}])
        echoed, keyed = (answer.message for answer in answers)
    assert "canary" not in echoed
    assert "repeat what was sent" in echoed
    assert "the key *** is not valid" in keyed
    assert "canary" not in keyed


def test_a_proxy_of_the_environment_is_used_and_does_not_open_closed_addresses(monkeypatch, names):
    known, _ = names
    with loopback_server(lambda path, body: (200, [path])) as server:
        monkeypatch.setenv("http_proxy", server.url)
        known["judge.lan"] = ["10.0.0.1"]
        client = RemoteClient(url="http://judge.lan", allow_hosts=["judge.lan"])
        assert client.ask("/x", [{}]) == [["http://judge.lan/x"]]
        known["judge.lan"] = [METADATA]
        assert "clouds keep their metadata" in failed(client).message
        assert len(server.asked) == 1
