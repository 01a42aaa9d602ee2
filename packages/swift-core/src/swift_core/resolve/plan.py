"""From a `RunConfig` to a `RunPlan`: names become plugins, options are checked, all that is wrong is said at once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from swift_core.contracts.handover import PartPlan, RunConfig, RunPlan
from swift_core.contracts.loss import building_terms
from swift_core.contracts.models import building_in
from swift_core.errors import Problem, SwiftError
from swift_core.ms_swift.arguments import run_arguments
from swift_core.plugins.building import OptionError, build
from swift_core.resolve.checks import check_settings
from swift_core.resolve.data import check_data_keys
from swift_core.resolve.device import check_device, check_package_on_gpu, note_package_on_cpu
from swift_core.resolve.findings import Findings
from swift_core.resolve.loss_scales import find_loss_scales
from swift_core.resolve.machine import Machine, this_machine
from swift_core.resolve.ms_swift import always_on, with_ms_swift_files
from swift_core.resolve.optimizer import check_groups, check_in_backward, fill, find_optimizer
from swift_core.resolve.parallel import check_optimizer_engine, check_parallel, check_parts_engine, check_rest
from swift_core.resolve.parts import Looked, PartFinder
from swift_core.resolve.pool import find_pool
from swift_core.resolve.reload import check_reload
from swift_core.resolve.shorthands import OptionSet, place_shorthands
from swift_core.resolve.sources import check_data, check_model_files, check_remote_code, find_hub
from swift_core.resolve.stage import find_loss, find_stage
from swift_core.resolve.terms import check_terms, live_term
from swift_core.resolve.tuner import add_meant_options, find_tuner, with_bits

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from swift_core.plugins.registry import Registry


def resolve(
    config: RunConfig,
    registry: Registry,
    *,
    machine: Machine | None = None,
    planning: bool = False,
    sampling: bool = False,
) -> RunPlan:
    """Return what the run file asks for, with every name looked up and every option checked; nothing is built.

    Args:
        config: A well-formed run file.
        registry: What is installed.
        machine: What this machine has; looked up when left out.
        planning: Nothing will be started, so processes that torchrun would start need not be there.
        sampling: Answers will be drawn and nothing trained, whatever the stage.

    Raises:
        SwiftError: With everything that is wrong, each at its place in the run file.
    """
    findings = Findings(config)
    finder = PartFinder(config, with_ms_swift_files(findings, _restricted(findings, registry)), findings)
    looked = _chosen(finder)
    check_data(finder)
    check_data_keys(findings, looked["procedure"])
    check_model_files(finder)
    findings.config = with_bits(findings.config, looked["tuner"])
    machine = machine or this_machine()
    findings.config = check_device(findings, machine, looked["tuner"], planning=planning)
    check_package_on_gpu(findings, machine, looked["optimizer"])
    note_package_on_cpu(findings, machine, looked["optimizer"])
    check_parallel(findings, machine)
    check_rest(findings)
    plan = _plan(finder, looked, sampling=sampling)
    if plan is not None:
        check_parts_engine(findings, plan)
    check_settings(findings, plan, sampling=sampling)
    check_reload(findings, plan)
    check_remote_code(findings, registry.remote_code)
    findings.stop_if_any()
    assert plan is not None  # a part is left out only where a problem was kept
    return replace(plan, notes=(*_alias_notes(findings.config), *findings.notes))


def _restricted(findings: Findings, registry: Registry) -> Registry:
    """Return the registry under the `plugins` section; where that is wrong, names are looked up without it."""
    try:
        return registry.restricted(findings.config.settings.plugins)
    except SwiftError as error:
        for problem in error.problems:
            findings.problems.append(_placed(problem, findings.config, _plugins_key(problem, findings.config)))
        return registry


def _plugins_key(problem: Problem, config: RunConfig) -> str:
    """Return the key of the `plugins` section that a problem quotes: the item whose text it has."""
    for key in config.origins:
        section, _, step = key.rpartition(".")
        if section in problem.message and section.startswith("plugins."):
            value = getattr(config.settings.plugins, section.split(".")[1])
            if isinstance(value, list) and step.isdecimal() and repr(value[int(step)]) in problem.message:
                return key
    return next((key for key in config.origins if key.startswith("plugins.") and key in problem.message), "plugins")


def _placed(problem: Problem, config: RunConfig, key: str) -> Problem:
    return replace(problem, place=problem.place or config.place(key))


def _chosen(finder: PartFinder) -> dict[str, Looked | None]:
    """Look the parts up that there is one of."""
    train = finder.config.settings.train
    procedure, named_by_stage = find_stage(finder)
    return {
        "procedure": procedure,
        "loss": find_loss(finder, procedure, named_by_stage),
        "optimizer": find_optimizer(finder),
        "scheduler": finder.look("scheduler", "train.lr_scheduler_type", train.lr_scheduler_type),
        "tuner": find_tuner(finder),
        "hub": find_hub(finder),
    }


_OPTION_KEYS = {
    "loss": "loss_kwargs",
    "optimizer": "optimizer_kwargs",
    "scheduler": "lr_scheduler_kwargs",
    "tuner": "tuner_kwargs",
}


def _single(finder: PartFinder, looked: dict[str, Looked | None]) -> dict[str, PartPlan]:
    """Settle the options of the parts that there is one of."""
    train, findings = finder.config.settings.train, finder.findings
    sets = {
        name: OptionSet(part, f"train.{key}", dict(getattr(train, key)))
        for name, key in _OPTION_KEYS.items()
        if (part := looked[name])
    }
    if "tuner" in sets:
        add_meant_options(findings, sets["tuner"])
    if len(sets) == len(_OPTION_KEYS):  # with a part unknown, a shorthand may well be its option
        place_shorthands(findings, list(sets.values()))
    if "optimizer" in sets:
        findings.config = fill(findings, sets["optimizer"])
        check_groups(findings, sets["optimizer"].looked)
        check_in_backward(findings, sets["optimizer"])
        check_optimizer_engine(findings, sets["optimizer"].looked)
    parts = {name: finder.part(s.looked, s.options, s.key, origins=s.origins) for name, s in sets.items()}
    if "loss" in sets:
        check_terms(finder, sets["loss"])
    for name, key in (("procedure", "train.stage"), ("hub", "model.hub")):
        if part := looked[name]:
            parts[name] = finder.part(part, {}, key)
    return parts


def _plan(finder: PartFinder, looked: dict[str, Looked | None], *, sampling: bool) -> RunPlan | None:
    settings = finder.config.settings
    single = _single(finder, looked)
    metrics = finder.listed("metric", "train.metrics", settings.train.metrics)
    callbacks = finder.listed("callback", "train.callbacks", settings.train.callbacks) + always_on(finder)
    loss_scales = find_loss_scales(finder, looked["procedure"])
    engine = _engine(finder, looked["procedure"], sampling=sampling)
    multi_turn = _multi_turn(finder, looked["procedure"], sampling=sampling)
    orms = finder.listed("orm", "reward.orms", settings.reward.orms)
    prms = finder.listed("prm", "reward.prms", settings.reward.prms)
    hooks = _hooks(finder)
    formats = _formats(finder)
    agent_template = _agent_template(finder)
    if len(single) != len(looked):
        return None
    config = finder.findings.config
    load = partial(_load, config, finder.registry)
    return RunPlan(
        config=config,
        **single,
        metrics=metrics,
        callbacks=callbacks,
        orms=orms,
        prms=prms,
        engine=engine,
        multi_turn=multi_turn,
        pool=find_pool(finder, (*metrics, *orms, *prms)),
        loss_scales=loss_scales,
        hooks=hooks,
        formats=formats,
        agent_template=agent_template,
        notes=(),
        create=partial(_create, finder, config, load),
        load=load,
        permit=partial(_permit, config, finder.registry),
        remote_code=finder.registry.remote_code,
    )


def _engine(finder: PartFinder, procedure: Looked | None, *, sampling: bool) -> PartPlan | None:
    """Return the generation engine of a stage that samples."""
    rollout = finder.config.settings.rollout
    if not sampling and (procedure is None or not procedure.declared("samples")):
        return None
    looked = finder.look("engine", "rollout.engine", rollout.engine)
    return finder.part(looked, rollout.engine_kwargs, "rollout.engine_kwargs") if looked else None


def _multi_turn(finder: PartFinder, procedure: Looked | None, *, sampling: bool) -> PartPlan | None:
    """Return what answers the model between its turns, where the run file names it and answers are drawn."""
    rollout = finder.config.settings.rollout
    if not rollout.multi_turn:
        for key in ("rollout.max_turns", "rollout.multi_turn_kwargs"):
            if any(written.startswith(key) for written in finder.config.origins):
                finder.findings.note(f"{key} has no effect without rollout.multi_turn")
        return None
    if not sampling and (procedure is None or procedure.declared("rows") != "prompts"):
        if procedure is not None and procedure.declared("samples"):
            message = f"stage {procedure.plugin.name!r} draws answers of one turn"
            next_step = "remove the key, or train on rewards: train.stage: grpo"
            finder.findings.wrong_key("multi-turn-stage", message, "rollout.multi_turn", next_step)
        return None
    looked = finder.look("multi_turn", "rollout.multi_turn", rollout.multi_turn)
    return finder.part(looked, rollout.multi_turn_kwargs, "rollout.multi_turn_kwargs") if looked else None


def _hooks(finder: PartFinder) -> tuple[PartPlan, ...]:
    names = finder.config.settings.plugins.enable
    looked = [finder.look("hooks", f"plugins.enable.{index}", name) for index, name in enumerate(names)]
    return tuple(finder.part(part, {}, part.key) for part in looked if part)


def _formats(finder: PartFinder) -> tuple[PartPlan, ...]:
    """Return the format named, or all first-party ones: an installed wheel never changes what is detected."""
    name = finder.config.settings.data.format
    if name != "auto":
        looked = [finder.look("dataset", "data.format", name)]
    else:
        specs = [spec for spec in finder.registry.specs("dataset") if spec.first_party]
        looked = [finder.look("dataset", "data.format", spec.qualified) for spec in specs]
    return tuple(finder.part(part, {}, "data.format") for part in looked if part)


def _agent_template(finder: PartFinder) -> PartPlan | None:
    data = finder.config.settings.data
    if not data.agent_template:
        if data.agent_template_kwargs:
            message = "these are options of an agent template, and none is named"
            finder.findings.wrong_key("unused-key", message, "data.agent_template_kwargs", "name data.agent_template")
        return None
    looked = finder.look("agent_template", "data.agent_template", data.agent_template)
    return finder.part(looked, data.agent_template_kwargs, "data.agent_template_kwargs") if looked else None


def _alias_notes(config: RunConfig) -> list[str]:
    return [
        f"{origin.note.removeprefix('written as ')} means {key}"
        for key, origin in config.origins.items()
        if origin.note.startswith("written as ")
    ]


def _load(config: RunConfig, registry: Registry, part: PartPlan) -> Any:
    """Import a part; an error gets the place in the run file."""
    try:
        return registry.load(part.plugin)
    except SwiftError as error:
        raise SwiftError(_placed(problem, config, part.key) for problem in error.problems) from error


def _permit(config: RunConfig, registry: Registry, part: PartPlan) -> None:
    """Check that a part may run, without importing it; an error gets the place in the run file."""
    try:
        registry.permit(part.plugin)
    except SwiftError as error:
        raise SwiftError(_placed(problem, config, part.key) for problem in error.problems) from error


def _building(config: RunConfig, part: PartPlan) -> AbstractContextManager[None]:
    """Return what a part may ask while it is built: where paths start from and, written for ms-swift, the settings."""
    return building_in(config.path.parent, run_arguments(config.settings) if part.plugin.dialect else {})


def _create(finder: PartFinder, config: RunConfig, load: Callable[[PartPlan], Any], part: PartPlan) -> Any:
    """Import a part and build it; an error gets the place of the option that is wrong, or of the part."""
    target = load(part)
    try:
        with building_terms(partial(live_term, finder)), _building(config, part):
            return build(target, part.options, called=part.plugin.whose)
    except OptionError as error:
        options = _options_key(part)
        keys = (".".join((options, *mistake.path)) for mistake in error.mistakes)
        told = [replace(problem, next_step=part.plugin.info_command) for problem in error.problems]
        raise SwiftError(_placed(p, config, key) for p, key in zip(told, keys, strict=True)) from error
    except SwiftError as error:
        raise SwiftError(_placed(problem, config, part.key) for problem in error.problems) from error


_OPTIONS_BESIDE = {
    "loss_type": "loss_kwargs",
    "optimizer_type": "optimizer_kwargs",
    "lr_scheduler_type": "lr_scheduler_kwargs",
    "tuner_strategy": "tuner_kwargs",
    "engine": "engine_kwargs",
    "multi_turn": "multi_turn_kwargs",
    "agent_template": "agent_template_kwargs",
    "pool": "pool_kwargs",
}


def _options_key(part: PartPlan) -> str:
    """Return the key under which the options of a part stand."""
    section, _, last = part.key.rpartition(".")
    return f"{part.key}.kwargs" if last.isdecimal() else f"{section}.{_OPTIONS_BESIDE.get(last, last)}"
