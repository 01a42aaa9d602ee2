"""Plans of single parameters, for steps in the backward pass: made once, kept as long as they are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from swift_native import _native


class Place(NamedTuple):
    """Where a parameter stands in its optimizer."""

    group: int
    """Number of its group."""

    position: int
    """Its number in the group."""

    first: int
    """Number of elements of the parameters before it; the random bits of its elements follow from it."""


class _Kept(NamedTuple):
    plan: _native.Plan
    formats: Any
    groups: list[dict[str, Any]]


class LonePlans:
    """The places and plans of parameters that move alone."""

    def __init__(self) -> None:
        self._places: dict[Tensor, Place] = {}
        self._plans: dict[Tensor, _Kept] = {}

    def place_of(self, param: Tensor, groups: Sequence[Mapping[str, Any]]) -> Place:
        """Return where `param` stands; groups that were changed by hand are looked through again.

        Raises:
            ValueError: No group has it.
        """
        place = self._places.get(param)
        if place is None or not _stands_there(param, place, groups):
            self._places, self._plans = _places_of(groups), {}
            if param not in self._places:
                raise ValueError("a parameter is to move that this optimizer does not have")
            place = self._places[param]
        return place

    def find(self, param: Tensor, formats: Any, state: Mapping[str, Any]) -> _native.Plan | None:
        """Return the plan of `param`, with its new gradient, if it is still right."""
        kept = self._plans.get(param)
        if kept is None or kept.formats != formats or not kept.plan.matches(kept.groups, {param: state}):
            return None
        return kept.plan

    def keep(self, param: Tensor, formats: Any, plan: _native.Plan) -> None:
        """Keep the plan of `param` for its next step."""
        self._plans[param] = _Kept(plan, formats, [{"params": [param]}])


def _stands_there(param: Tensor, place: Place, groups: Sequence[Mapping[str, Any]]) -> bool:
    params = groups[place.group]["params"] if place.group < len(groups) else []
    return place.position < len(params) and params[place.position] is param


def _places_of(groups: Sequence[Mapping[str, Any]]) -> dict[Tensor, Place]:
    places: dict[Tensor, Place] = {}
    num_elements = 0
    for index, group in enumerate(groups):
        for position, param in enumerate(group["params"]):
            places[param] = Place(index, position, num_elements)
            num_elements += param.numel()
    return places
