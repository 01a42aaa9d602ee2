"""A Ray cluster: one of this machine alone, closed to others, or one that runs already. Who asks must have its token.

Whoever reaches a Ray cluster without a token runs code on it, so that authentication is always on (Ray 2.52 and newer),
and a cluster started here listens on the loopback address only.
"""

from __future__ import annotations

import importlib
import os
import secrets
import threading
import warnings
from pathlib import Path
from typing import Any

from packaging.version import Version

from swift_core.errors import Problem, SwiftError

OLDEST = "2.52"
"""The first version of Ray with tokens."""

_TOKEN, _TOKEN_FILE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_LOOPBACK = ("127.0.0.1", "::1")
_lock = threading.Lock()


def connect(address: str) -> Any:
    """Return the module `ray`, connected to the cluster at `address`, or to one that is started here when it is empty.

    Raises:
        SwiftError: Ray is absent or too old, there is no token, or the cluster cannot be reached.
    """
    with _lock:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
        if address:
            _require_token(address)
        else:
            _prepare_own()
        ray = _module()
        if not ray.is_initialized():
            _begin(ray, address)
        return ray


def _require_token(address: str) -> None:
    token_file = Path(os.environ.get(_TOKEN_FILE) or Path.home() / ".ray" / "auth_token")
    if not os.environ.get(_TOKEN) and not token_file.is_file():
        message = f"the Ray cluster at {address} is asked with a token, and there is none here."
        next_step = f"export {_TOKEN}=... or {_TOKEN_FILE}=FILE, on this machine as on those of the cluster"
        raise SwiftError(Problem("pool-token", message, None, next_step))


def _prepare_own() -> None:
    """Give the cluster of this process a token of its own, and no address but the loopback one."""
    os.environ.setdefault(_TOKEN, secrets.token_hex(32))
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's word, on every system, for the loopback address


def _module() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the future of Ray's own settings
            ray = importlib.import_module("ray")
    except ImportError as error:
        message = f"the pool ray needs the package ray: {error}."
        raise SwiftError(Problem("missing-package", message, None, "pip install 'swift-core[ray]'")) from error
    if Version(ray.__version__) < Version(OLDEST):
        message = f"Ray {ray.__version__} knows no tokens; {OLDEST} is the first version that does."
        raise SwiftError(Problem("pool-version", message, None, "pip install 'swift-core[ray]'"))
    return ray


def _begin(ray: Any, address: str) -> None:
    """Start a cluster, or join the one at `address`."""
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
    if not address:
        options |= {"include_dashboard": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address or "local", **options)
    except Exception as error:  # Ray has many ways to say that it cannot
        where = f"The Ray cluster at {address} cannot be reached" if address else "Ray does not start here"
        text = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        raise SwiftError(Problem("pool-unreachable", f"{where}: {text}.", None, "ray status")) from error
    listens = [node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]]
    if not address and not set(listens) <= set(_LOOPBACK):
        ray.shutdown()
        message = f"Ray was imported before, and listens on {', '.join(listens)} and not on this machine alone."
        raise SwiftError(Problem("pool-open", message, None, "name the cluster: pool_kwargs: {address: HOST:PORT}"))
