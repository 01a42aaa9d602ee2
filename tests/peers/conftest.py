"""What is compared with other people's code, in environments that have it: `nox -s peers_losses peers_optimizers`."""

from importlib.util import find_spec

_NEEDS = {"trl": "losses/*", "galore_torch": "optimizers/*"}
collect_ignore_glob = [folder for package, folder in _NEEDS.items() if not find_spec(package)]
