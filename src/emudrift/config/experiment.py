"""What an experiment consists of: arms, shards, extractors and the reference, with the fingerprints and paths of each."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from emudrift.config.arm import Arm, fingerprint
from emudrift.config.arm_settings import command_settings, diffusers_settings
from emudrift.config.base import Checkpoint
from emudrift.config.experiment_config import Config
from emudrift.config.extractors import SEEN_THROUGH, AnyExtractor, Inception, needs_reference_images
from emudrift.config.models import AnyModel, CommandModel, DiffusersModel, Emu3Model, FolderModel, TokenizerModel
from emudrift.config.paths import REPOSITORY, ExperimentPaths, download_record
from emudrift.config.reader import load_config
from emudrift.config.row_range import RowRange
from emudrift.errors import InputError

Selection = Literal["full", "same"]

# The real images that generated ones are compared with, for people.
SELECTIONS: dict[str, str] = {"full": "all images", "same": "same images"}


class Experiment:
    """A config with what follows from it. Needs no file but the config itself: no dataset, model, network or clock."""

    def __init__(self, config: Config, config_path: Path) -> None:
        self.config = config
        self.config_path = config_path.resolve()
        self.paths = ExperimentPaths.in_repository(config.name)
        twice = {name for name in self.extractor_names if self.extractor_names.count(name) > 1}
        if twice:
            raise InputError(
                f"{config_path}: extractors: two of them make the same features ({', '.join(sorted(twice))}); remove one, or "
                "give each reference an experiment of its own"
            )

    @classmethod
    def load(cls, config_path: str | Path) -> "Experiment":
        path = Path(config_path)
        return cls(load_config(path), path)

    def path(self, text: str) -> Path:
        """A path of the config: absolute; or from the config file, if it starts with ./ or ../; or from the repository."""
        path = Path(text).expanduser()
        if path.is_absolute():
            return path
        root = self.config_path.parent if text.startswith(("./", "../")) else REPOSITORY
        return Path(root, path).resolve()

    def _identity(self, text: str) -> str:
        """The same text for the same file on every machine where it lies inside the repository."""
        path = self.path(text)
        return path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) else path.as_posix()

    # -- arms and shards ------------------------------------------------------------------------------------------

    @property
    def baseline(self) -> str:
        return self.config.baseline or self.config.models[0].name

    def model(self, name: str) -> AnyModel:
        for model in self.config.models:
            if model.name == name:
                return model
        raise InputError(f"{self.config_path}: models: none is named {name!r}; there are {self.model_names}")

    @property
    def model_names(self) -> list[str]:
        return [model.name for model in self.config.models]

    def arms(self) -> list[Arm]:
        return list(self._arms.values())

    @cached_property
    def _arms(self) -> dict[str, Arm]:
        """By name. Looked up once for each of thousands of shards, so worked out once."""
        return {arm.name: arm for model in self.config.models for arm in self._arms_of(model)}

    def arm(self, name: str) -> Arm:
        """The arm of that name; its fingerprint makes sure that the settings are still those that were planned."""
        if name in self._arms:
            return self._arms[name]
        raise InputError(
            f"{self.config_path}: has no arm {name!r}; were its settings changed since it was planned? "
            f"Its arms are {', '.join(a.name for a in self.arms())}"
        )

    def _arms_of(self, model: AnyModel) -> list[Arm]:
        shared = {"seed": self.config.seed, "caption": self.config.prompts.caption, "generator": model.generator}
        if isinstance(model, TokenizerModel):
            size = {"width": self.config.generation.width, "height": self.config.generation.height}
            vq = {role: self._checkpoint_identity(each) for role, each in self.checkpoints(model).items()}
            images = self._identity(str(self.config.prompts.images))
            whole = {"generator": model.generator, "images": images, "device": self.config.device} | size | vq
            return [Arm(model.name, None, whole)]
        if isinstance(model, FolderModel):
            table = None if model.table is None else self._identity(model.table)
            settings = shared | {"images": self._identity(model.images), "table": table}
            return [Arm(model.name, model.guidance_scale, settings)]
        drawn = shared | {"device": self.config.device}
        if isinstance(model, CommandModel):
            words, files = self.command_words(model), [self._identity(file) for file in model.files]
            scales = self.config.guidance_scales if model.guidance_scale == "each" else [model.guidance_scale]
            return [
                Arm(model.name, scale, drawn | command_settings(model, self.config.generation, scale, words, files))
                for scale in scales
            ]
        if isinstance(model, DiffusersModel):
            where = self._checkpoint_identity(model.checkpoint)
            return [
                Arm(model.name, scale, drawn | diffusers_settings(model, self.config.generation, scale, where))
                for scale in self.config.guidance_scales
            ]
        generation = self.config.generation.model_dump(exclude={"suffix_overrides"})
        arms = []
        for scale in self.config.guidance_scales:
            suffix = self.config.generation.suffix_at(scale)
            settings = (
                shared
                | generation
                | {"adapter": None}
                | {role: self._checkpoint_identity(each) for role, each in self.checkpoints(model).items()}
                | {
                    "guidance_scale": scale,
                    "suffix": suffix,
                    "device": self.config.device,
                }
            )
            if scale == 1:
                del settings["negative_prompt"]  # Without guidance it plays no part.
            arms.append(Arm(model.name, scale, settings))
        return arms

    def command_words(self, model: CommandModel) -> list[str]:
        """A model's command, placeholders and all; words that start with ./ or ../ are paths like all of the config's."""
        return [self._identity(word) if word.startswith(("./", "../")) else word for word in model.command]

    def _checkpoint_identity(self, checkpoint: Checkpoint) -> str:
        return f"{checkpoint.hub}@{checkpoint.revision}" if checkpoint.path is None else self._identity(checkpoint.path)

    def shards(self, n: int | None = None) -> list[RowRange]:
        """The shards that hold rows 0 to n (default: the largest N). Their ranges do not depend on n."""
        n, size = n or max(self.config.sample_sizes), self.config.shard_size
        return [RowRange(start, start + size) for start in range(0, n, size)]

    # -- extractors and reference ---------------------------------------------------------------------------------

    def extractor_settings(self, extractor: AnyExtractor) -> dict[str, Any]:
        """Everything that can change a feature, and nothing else."""
        if not isinstance(extractor, Inception):
            return {
                "name": extractor.name,
                "dims": extractor.dims,
                "checkpoint": self._checkpoint_identity(extractor.checkpoint),
                "preprocessing": extractor.PREPROCESSING,
                "device": self.config.device,
            }
        settings = extractor.model_dump(exclude={"weights", "reference_statistics"})
        del settings["seed" if extractor.name == "inception" else "sha256"]
        return settings | {"device": self.config.device}

    def extractor_name(self, extractor: AnyExtractor) -> str:
        return f"{extractor.name}-{fingerprint(self.extractor_settings(extractor))}"

    @property
    def extractor_names(self) -> list[str]:
        return [self.extractor_name(extractor) for extractor in self.config.extractors]

    @cached_property
    def _extractors(self) -> dict[str, AnyExtractor]:
        return {self.extractor_name(extractor): extractor for extractor in self.config.extractors}

    def extractor(self, name: str) -> AnyExtractor:
        if name in self._extractors:
            return self._extractors[name]
        raise InputError(
            f"{self.config_path}: has no extractor {name!r}; were its settings changed since it was planned? "
            f"Its extractors are {', '.join(self.extractor_names)}"
        )

    def weights(self, extractor: AnyExtractor) -> Path | None:
        """The weights file of an extractor; None where it draws its own, or has a checkpoint."""
        if not isinstance(extractor, Inception) or extractor.name == "inception-random":
            return None
        if extractor.weights is not None:
            return self.path(extractor.weights)
        return self.paths.inception_weights(extractor.sha256[:12])

    def extractor_file(self, extractor: AnyExtractor) -> Path | None:
        """The file whose presence says that an extractor's weights are there: itself, or that of its checkpoint."""
        if isinstance(extractor, Inception):
            return self.weights(extractor)
        folder = self.checkpoint_folder(extractor.checkpoint)
        return folder / "config.json" if extractor.checkpoint.hub is None else download_record(folder)

    def weights_label(self, extractor: AnyExtractor) -> str:
        """For tables: random, published, or where the checkpoint is from."""
        if isinstance(extractor, Inception):
            return "random" if extractor.name == "inception-random" else "published"
        return self._checkpoint_identity(extractor.checkpoint)

    @property
    def needs_reference_images(self) -> bool:
        """False where every extractor brings ready statistics, or looks at captions alone."""
        return any(needs_reference_images(self.config.metrics, extractor) for extractor in self.config.extractors)

    def selections(self, extractor: AnyExtractor) -> tuple[Selection, ...]:
        """The references that FIDs by an extractor are computed from; metrics beyond FID take the first.

        full: all real images, or ready statistics; same: the N dataset images whose captions were used.
        """
        asked = self.config.reference.selection
        if asked == "full" or extractor.reference_statistics is not None:
            return ("full",)
        return ("same",) if asked == "same" else ("full", "same")

    def selection(self, extractor: AnyExtractor, name: str) -> Selection:
        """The selection of that name. Raises InputError where the config does not ask for it."""
        for selection in self.selections(extractor):
            if selection == name:
                return selection
        raise InputError(f"{self.config_path}: reference: selection: {name!r} is not asked for; was it changed?")

    @property
    def reference_images(self) -> Path:
        """The folder or archive of the reference images."""
        prompts, reference = self.config.prompts, self.config.reference
        if reference.images != "dataset":
            return self.path(reference.images)
        if prompts.images is None:
            raise InputError(f"{self.config_path}: prompts: images is missing: the folder of the dataset's images")
        return self.path(prompts.images)

    def reference_list_settings(self) -> dict[str, Any]:
        """What names the list of reference images: where they lie and, for the dataset's own, which it lists."""
        prompts = self.config.prompts
        settings: dict[str, Any] = {"images": self._identity(str(self.reference_images))}
        if self.config.reference.images == "dataset":
            settings |= {"captions": self._identity(prompts.captions), "source": prompts.source}
            settings |= {"splits": prompts.splits} if prompts.splits else {}
            if prompts.source == "table":
                settings |= {"file_name_column": prompts.file_name_column, "image_id_column": prompts.image_id_column}
        return settings

    @property
    def reference_list(self) -> Path:
        return self.paths.reference_list(fingerprint(self.reference_list_settings()))

    def reference_key(self, extractor: AnyExtractor) -> str:
        """What names the cached features and statistics of the reference, which experiments share."""
        settings = {"extractor": self.extractor_settings(extractor)}
        if extractor.reference_statistics is not None:
            settings["statistics"] = {"file": self._identity(extractor.reference_statistics)}
        else:
            settings["list"] = self.reference_list_settings()
        return f"{extractor.name}-{fingerprint(settings)}"

    def describe_reference(self, extractor: AnyExtractor, selection: Selection) -> dict[str, Any]:
        """The reference in words and its key, for results."""
        ready = extractor.reference_statistics
        return {
            "key": self.reference_key(extractor),
            "images": self._identity(str(self.reference_images) if ready is None else ready),
            "selection": selection,
        }

    # -- files of results -----------------------------------------------------------------------------------------

    def feature_files(self, extractor: str, arm: str, n: int | str) -> list[Path]:
        """What extract_features writes for the first n images of an arm."""
        return [self.paths.features(extractor, arm, shard.name) for shard in self.shards(int(n))]

    def caption_files(self, extractor: str, n: int | str) -> list[Path]:
        """What embed_captions writes for the first n prompts."""
        return [self.paths.captions(extractor, shard.name) for shard in self.shards(int(n))]

    def fid_files(self) -> list[Path]:
        """What compute_fid writes for every extractor, reference, arm and N."""
        return [
            self.paths.fid(self.extractor_name(extractor), selection, arm.name, str(n))
            for extractor in self.config.extractors
            if extractor.name in SEEN_THROUGH["fid"]
            for selection in self.selections(extractor)
            for arm in self.arms()
            for n in self.config.sample_sizes
        ]

    def metric_jobs(self) -> list[tuple[str, str]]:
        """Metric and extractor (full name) of everything beyond FID that is switched on."""
        return [
            (metric, self.extractor_name(extractor))
            for metric in self.config.metrics
            if metric != "fid"
            for extractor in self.config.extractors
            if extractor.name in SEEN_THROUGH[metric]
        ]

    def metric_files(self) -> list[Path]:
        """What compute_metric and compute_clip_score write: for the largest N alone."""
        return [
            self.paths.metric(metric, extractor, arm.name, str(max(self.config.sample_sizes)))
            for metric, extractor in self.metric_jobs()
            for arm in self.arms()
        ]

    def manifests(self) -> list[Path]:
        """What generate_shard writes for every arm and shard."""
        return [self.paths.manifest(arm.name, shard.name) for arm in self.arms() for shard in self.shards()]

    @property
    def floors(self) -> list[str]:
        """Models that draw nothing and are compared with nothing: the floors of tokenizers."""
        return [model.name for model in self.config.models if isinstance(model, TokenizerModel)]

    def floor_arms(self) -> list[str]:
        """Their arms, by name."""
        return [arm.name for arm in self.arms() if arm.model in self.floors]

    def is_matched_with_prompts(self, name: str) -> bool:
        """Whether a model's images exist already, so that prompts are needed to look it over."""
        return isinstance(self.model(name), FolderModel)

    def checkpoints(self, model: AnyModel) -> dict[str, Checkpoint]:
        """What a model is made of, by role: checkpoint, adapter, and vq where another model's VQ decodes its tokens."""
        if isinstance(model, FolderModel | CommandModel):
            return {}
        if isinstance(model, DiffusersModel):
            return {"checkpoint": model.checkpoint}
        if isinstance(model, TokenizerModel):
            other = self.model(model.of)
            assert isinstance(other, Emu3Model)  # The config was checked for it.
            roles = self.checkpoints(other)
            return {"checkpoint": roles.get("vq", roles["checkpoint"])}
        found = {"checkpoint": model.checkpoint}
        if model.adapter is not None:
            found["adapter"] = model.adapter
        if model.vq is not None:
            other = self.model(model.vq)
            assert isinstance(other, Emu3Model)  # The config was checked for it.
            found["vq"] = other.checkpoint
        return found

    def checkpoint_folders(self, model: AnyModel) -> dict[str, Path]:
        """The same as folders."""
        part = ""
        if isinstance(model, DiffusersModel):
            # Each part of a repository is a download of its own: another model's part must not touch this one's.
            part = f".{model.variant}" * (model.variant is not None) + ".code" * model.trust_remote_code
        return {role: self.checkpoint_folder(checkpoint, part) for role, checkpoint in self.checkpoints(model).items()}

    def checkpoint_folder(self, checkpoint: Checkpoint, part: str = "") -> Path:
        """Where a checkpoint's files lie: its own folder, or where the download rule puts them (that part of them)."""
        if checkpoint.path is not None:
            return self.path(checkpoint.path)
        return self.paths.model(f"{checkpoint.hub}@{checkpoint.revision}".replace("/", "--") + part)
