"""What is compared with other people's code, in environments that have it: `nox -s peers_losses`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("trl") else ["losses/*"]
