"""Tiny models that see images, one of each family, and images to show them."""

from types import SimpleNamespace

import pytest
from PIL import Image, ImageDraw
from tests.core.vision.seeing import Seeing, chat, pair

from swift_core.contracts.images import ImageRef

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (220, 220, 30)}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    from swift_core.testing.tiny_vision import tiny_vision_model

    root = tmp_path_factory.mktemp("seeing")
    return {family: tiny_vision_model(root / family, family=family) for family in ("llava", "qwen2_vl")}


@pytest.fixture(params=["llava", "qwen2_vl"])
def seeing(request, folders):
    return Seeing(folders[request.param], request.param)


@pytest.fixture
def draw(tmp_path):
    """Return a function (colour, width, height) -> an image with a square of that colour, in a file."""

    def make(colour="red", width=28, height=28, place=(4, 4)):
        image = Image.new("RGB", (width, height), "black")
        ImageDraw.Draw(image).rectangle([*place, place[0] + 12, place[1] + 12], fill=COLOURS[colour])
        path = tmp_path / f"{colour}-{width}x{height}-{place[0]}-{place[1]}.png"
        image.save(path)
        return ImageRef(path=str(path), stamp=path.name)

    return make


@pytest.fixture
def records():
    return SimpleNamespace(chat=chat, pair=pair)
