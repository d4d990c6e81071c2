"""The call of a pipeline, checked against its signature and its configs before any weight is loaded."""

import ast
import difflib
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emudrift.config.base import listing
from emudrift.config.pipeline_call import exceeds_one
from emudrift.errors import InputError

GUIDANCE = {
    "QwenImagePipeline": "true_cfg_scale",
    "QwenImage21Pipeline": "true_cfg_scale",
    "HunyuanImagePipeline": "distilled_guidance_scale",
    "StableCascadeCombinedPipeline": "prior_guidance_scale",
    "WuerstchenCombinedPipeline": "prior_guidance_scale",
}
"""The argument that carries guidance, where a pipeline has another one than guidance_scale, or several."""


CLEANING = {"ftfy": "ftfy", "beautifulsoup4": "bs4"}
"""Packages that clean captions, with their modules."""


@dataclass(frozen=True)
class Call:
    """The signature of a pipeline's call, and what its networks do with guidance.

    Attributes:
        kind: class of the pipeline.
        parameters: names with their defaults; None for those without.
        tuples: names whose values are tuples, which YAML does not have.
        takes_any: whether any name is accepted (`**kwargs`).
        uses: words of its source that tell what it looks at.
        configs: of the pipeline and its networks, by component ("" for the pipeline).
    """

    kind: str
    parameters: Mapping[str, Any]
    takes_any: bool = False
    tuples: frozenset[str] = frozenset()
    uses: str = ""
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def chooses_sigmas(self) -> bool:
        """Whether it gives its scheduler the noise levels, which not every scheduler takes."""
        return "np.linspace(1.0, 1 / num_inference_steps" in self.uses

    def guidance_argument(self, settings: Mapping[str, Any]) -> str:
        """The argument that takes the guidance scale: the config's, or that of the class."""
        return str(settings.get("guidance_argument") or GUIDANCE.get(self.kind, "guidance_scale"))

    def ignores_guidance(self, settings: Mapping[str, Any]) -> bool:
        """Whether its networks are distilled such that the argument that takes the guidance scale changes nothing."""
        if self.guidance_argument(settings) == "true_cfg_scale":
            return False
        fixed = self._says("transformer", "guidance_embeds") is False and "guidance_embeds" in self.uses
        return fixed or (self._says("", "is_distilled") is True and "is_distilled" in self.uses)

    def ignores_negative_prompt(self, settings: Mapping[str, Any]) -> bool:
        """Whether a negative prompt changes nothing at a guidance scale above 1."""
        if "true_cfg_scale" in self.parameters and self.guidance_argument(settings) != "true_cfg_scale":
            default = self.parameters["true_cfg_scale"]
            return not exceeds_one(settings.get("call", {}).get("true_cfg_scale", default))
        return self.ignores_guidance(settings) or self._says("unet", "time_cond_proj_dim") is not None

    def arguments(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the call that are the same for all images of an arm, checked by name.

        Raises:
            InputError: the call does not take one of them.
        """
        said = settings.get("call", {})
        self._refuse_unknown(said)
        further = {name: tuple(value) if name in self.tuples else value for name, value in said.items()}
        found = {"num_inference_steps": settings["steps"], "width": settings["width"], "height": settings["height"]}
        if settings["guidance_scale"] is not None:
            found[self.guidance_argument(settings)] = settings["guidance_scale"]
        negative = settings.get("negative_prompt")
        # With true_cfg_scale, guidance is off where there is no negative prompt at all, be it empty.
        if negative or exceeds_one((found | further).get("true_cfg_scale")):
            found["negative_prompt"] = negative or ""
        unknown = [] if self.takes_any else sorted(found.keys() - self.parameters.keys())
        if unknown:
            hint = '; set negative_prompt: "" for this model' if unknown == ["negative_prompt"] else ""
            if self.guidance_argument(settings) in unknown:
                others = [name for name in self.parameters if "guidance_scale" in name or "cfg_scale" in name]
                hint = f"; say guidance_argument: {listing([*others, 'none'], 'or')}"
            raise InputError(f"its pipeline {self.kind} does not accept {', '.join(unknown)}{hint}")
        return found | further

    def check(self, arms: Sequence[Mapping[str, Any]]) -> None:
        """Raises InputError where a setting of a model's arms, one for each guidance scale, would be refused or ignored."""
        for settings in arms:
            self.arguments(settings)
        self._refuse_unclean(arms[0].get("call", {}))
        if self.ignores_guidance(arms[0]) and len(arms) > 1:
            scales = listing(f"{settings['guidance_scale']:g}" for settings in arms)
            true = " or true_cfg_scale" if "true_cfg_scale" in self.parameters else ""
            raise InputError(
                f"its pipeline {self.kind} ignores {self.guidance_argument(arms[0])} (its network is distilled), so the arms at "
                f"guidance {scales} would be the same images; say guidance_argument: none (one arm without a scale){true}"
            )
        if any(settings.get("negative_prompt") for settings in arms) and self.ignores_negative_prompt(arms[0]):
            raise InputError(
                f'its pipeline {self.kind} ignores negative_prompt, since its guidance is distilled; set negative_prompt: "" for '
                "this model"
            )

    def _refuse_unclean(self, said: Mapping[str, Any]) -> None:
        """diffusers would draw with captions that are not cleaned, and say so in a warning."""
        default = self.parameters.get("clean_caption", "ftfy.fix_text" in self.uses)
        missing = [package for package, module in CLEANING.items() if find_spec(module) is None]
        if said.get("clean_caption", default) and missing:
            off = ", or set call: {clean_caption: false}" if "clean_caption" in self.parameters else ""
            raise InputError(
                f"its pipeline {self.kind} cleans captions, for which {listing(missing)} must be installed: pip install "
                f"{' '.join(missing)}{off}"
            )

    def _refuse_unknown(self, names: Iterable[str]) -> None:
        for name in [] if self.takes_any else names:
            if name not in self.parameters:
                near = difflib.get_close_matches(name, self.parameters, n=1, cutoff=0.6)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(self.parameters)}"
                raise InputError(f"call: {name}: its pipeline {self.kind} takes no such argument; {hint}")

    def _says(self, component: str, key: str) -> Any:
        return self.configs.get(component, {}).get(key)


def call_of(folder: Path, index: Mapping[str, Any], custom_pipeline: str | None) -> Call:
    """The call of a pipeline on the disk; one of the checkpoint's own code is read without being run.

    Raises:
        InputError: diffusers has no pipeline of that class, or a config is damaged.
    """
    named = index["_class_name"]
    kind = str(named[-1] if isinstance(named, list) else named)
    configs = {name: _config(folder / name / "config.json") for name in ("transformer", "unet")} | {"": index}
    own = custom_pipeline or (named[0] if isinstance(named, list) else None)
    if own is not None:
        return _call_of_file(folder / f"{own}.py", kind, configs)
    # Here, since planning and checks of other models take no time without it.
    import emudrift.runtime.torchvision_fix  # noqa: F401  (before diffusers)

    import diffusers

    found = getattr(diffusers, kind, None)
    if not isinstance(found, type):
        raise InputError(
            f"{folder}/model_index.json: _class_name: diffusers {diffusers.__version__} has no pipeline {kind}"
        )
    return replace(call_of_class(found), uses=inspect.getsource(inspect.getmodule(found) or found), configs=configs)


def call_of_class(kind: type) -> Call:
    """The call of a pipeline's class, without what its networks do with guidance."""
    parameters = inspect.signature(kind.__call__).parameters
    names = {
        name: None if each.default is each.empty else each.default
        for name, each in parameters.items()
        if name != "self" and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }
    # Further names are deprecated ones in diffusers' own pipelines, which would say nothing of others.
    theirs = kind.__module__.startswith("diffusers.pipelines.")
    takes_any = not theirs and any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    tuples = [
        name for name in names if re.match(r"(typing\.)?(Optional\[)?[Tt]uple\[", str(parameters[name].annotation))
    ]
    return Call(kind.__name__, names, takes_any, frozenset(tuples))


def _call_of_file(path: Path, kind: str, configs: Mapping[str, Mapping[str, Any]]) -> Call:
    """The call of the class of that name, or of the only class with a call."""
    try:
        source = path.read_text(encoding="utf-8")
        classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as Python code: {error}") from error
    calls = {
        node.name: each.args
        for node in classes
        for each in node.body
        if isinstance(each, ast.FunctionDef) and each.name == "__call__"
    }
    found = calls.get(kind) or (next(iter(calls.values())) if len(calls) == 1 else None)
    if found is None:
        return Call(kind, {}, takes_any=True, configs=configs)
    names = [each.arg for each in (*found.posonlyargs, *found.args, *found.kwonlyargs)]
    return Call(kind, dict.fromkeys(names[1:]), found.kwarg is not None, uses=source, configs=configs)


def _config(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    return found if isinstance(found, dict) else {}
