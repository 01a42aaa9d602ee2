"""How Sphinx builds the documentation. It needs the wheels, and neither torch nor the network."""

from __future__ import annotations

import sys
from pathlib import Path

import swift_core

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "swift"
author = "the swift contributors"
project_copyright = "the swift contributors"
version = release = swift_core.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "swift_reference"]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"swift {release}"
html_copy_source = False
nitpicky = False  # torch and transformers appear in signatures, and are not installed here

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # generated pages start below the heading of the page that holds them

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
