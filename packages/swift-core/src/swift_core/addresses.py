"""Which servers may be asked: public ones over https, this machine, and those that a run file allows by name.

A run file may come from a stranger, and a name may lead anywhere by the time it is looked up: into the local network,
or to 169.254.169.254, where clouds hand out keys. So every address that a name has is judged before it is connected to,
and the connection goes to the address that was judged.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CARRIERS = tuple(ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96"))
"""IPv6 networks whose last 32 bits are an IPv4 address: NAT64, and two older ways that some systems still follow."""

_CLOSED = tuple(
    ipaddress.ip_network(text)
    for text in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16")
)
"""Networks that no server of the public is in, and which Python takes for public, or did in some versions.

The first is where Azure hands out what a machine is configured with; Oracle's is in the second.
"""

_FOUR_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){3}")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What `allow_hosts` lists."""

    names: frozenset[str]
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    @classmethod
    def of(cls, hosts: Sequence[str]) -> Allowed:
        """Read host names, addresses and networks; raise ValueError for anything else."""
        networks = {host: network for host in hosts if (network := _network(host)) is not None}
        names = [host for host in hosts if host not in networks]
        if odd := [name for name in names if not name or set(name) & set("/:@ ")]:
            shapes = "host names, addresses and networks such as 10.0.0.0/8"
            raise ValueError(f"allow_hosts lists {shapes}, got {odd[0]!r}")
        return cls(frozenset(name.lower().rstrip(".") for name in names), tuple(networks.values()))

    def lists(self, host: str) -> bool:
        """Say whether a host is listed as it is written."""
        address = _literal(host)
        by_address = address is not None and any(
            address.version == network.version and address in network for network in self.networks
        )
        return by_address or host.lower().rstrip(".") in self.names

    def holds(self, host: str, address: Address) -> bool:
        """Say whether a host may be asked at an address of any kind; link-local ones must be listed themselves."""
        by_address = any(address.version == network.version and address in network for network in self.networks)
        return by_address or (
            host.lower().rstrip(".") in self.names and not any(each.is_link_local for each in _embedded(address))
        )


def require_url(url: str, allowed: Allowed) -> None:
    """Raise ValueError for a URL that cannot be asked wherever its name leads; nothing is looked up."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url must begin with http:// or https://, got {url!r}")
    try:
        split = urlsplit(url)
        host, _ = split.hostname or "", split.port
    except ValueError as error:
        raise ValueError(f"url must be an address of a server, got {url!r}: {error}") from None
    if split.username is not None:
        raise ValueError("url must not hold a user or password: a key goes into the variable that api_key_env names")
    if not host:
        raise ValueError(f"url must name a host, got {url!r}")
    host = _plain_host(host, url)
    address = _literal(host)
    if address is not None and (reason := refused(host, address, split.scheme, allowed)):
        raise ValueError(f"url {url!r}: {reason}")
    if address is None and split.scheme == "http" and not is_this_machine(host) and allowed == Allowed.of(()):
        raise ValueError(f"url {url!r}: {_PLAIN}")


def _plain_host(host: str, url: str) -> str:
    """Return a host in the letters that are looked up; signs that look like digits of an address become those."""
    try:
        plain = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError(f"url must name a host, got {url!r}") from None
    if _FOUR_NUMBERS.fullmatch(plain.rstrip(".")) and _literal(plain.rstrip(".")) is None:
        raise ValueError(f"url must be an address of a server, got {url!r}: four numbers of at most 255, without zeros")
    return plain


_PLAIN = "plain http is for this machine; use https, or list the host in allow_hosts"


def refused(host: str, address: Address, scheme: str, allowed: Allowed) -> str:
    """Return why `host` may not be asked at `address`; empty when it may."""
    if allowed.holds(host, address):
        return ""
    embedded = list(_embedded(address))
    if all(each.is_loopback for each in embedded) and is_this_machine(host):
        return ""
    if not all(_is_public(each) for each in embedded):
        return f"{address} is no public address ({_sort_of(embedded[-1])}); list the host or address in allow_hosts"
    return _PLAIN if scheme == "http" else ""


def is_this_machine(host: str) -> bool:
    """Say whether a host is written as this machine: a public name that leads here is not."""
    name = host.lower().rstrip(".")
    literal = _literal(host)
    return name == "localhost" or name.endswith(".localhost") or (literal is not None and literal.is_loopback)


def _is_public(address: Address) -> bool:
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    is_closed = any(address.version == network.version and address in network for network in _CLOSED)
    return address.is_global and not address.is_multicast and not is_site_local and not is_closed


def _network(host: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(host, strict=False)
    except ValueError:
        return None


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _embedded(address: Address) -> Iterator[Address]:
    """Yield the address, and the IPv4 address that an IPv6 one carries: packets end there."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        teredo = address.teredo
        is_carrier = int(address) > 1 and any(address in network for network in _CARRIERS)
        last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if is_carrier else None
        yield from (one for one in (address.ipv4_mapped, address.sixtofour, teredo and teredo[1], last) if one)


def _sort_of(address: Address) -> str:
    if address.is_link_local:
        return "link-local, where clouds keep their metadata"
    if address.is_loopback:
        return "this machine"
    return "private" if address.is_private else "reserved"
