"""What rules need of the set of prompts that an arm, a reference or an extractor belongs to: functions of their inputs."""


def prompts_of(wildcards):
    """The prompt table of an arm."""
    return experiment.set_of(wildcards.arm).paths.prompts


def key_of_set(view):
    """Where in the config a set of prompts is: `prompts`, or `prompts: flickr30k`."""
    return f"prompts: {view.prompt_set}" if view.prompt_set else "prompts"


def captions_of(view):
    return existing(view.path(view.config.prompts.captions), f"{key_of_set(view)}: captions")


def dataset_images_of(view):
    """Only that the images exist matters, never their times."""
    images = view.config.prompts.images
    return [] if images is None else [ancient(existing(view.path(images), f"{key_of_set(view)}: images"))]


def selection_of(view):
    """Which prompts meet the conditions of the config, if there are any."""
    return view.annotations.selection(view.config.prompts.where) or []


def validated_model(wildcards):
    view, name = experiment.of_record(wildcards.model)
    return view.model(name)


def model_record_of(arm):
    """What was found when the model of an arm was validated."""
    return paths.model_record(experiment.set_of(arm).record_name(experiment.arm(arm).model))


def listed_images_of(view):
    return ancient(existing(view.reference_images, "reference: images"))


def listed_captions_of(view):
    return captions_of(view) if view.config.reference.images == "dataset" else []


def listed_selection_of(view):
    return view.annotations.selection(view.config.reference.where) or []


def list_of(wildcards):
    view, _ = REFERENCES[wildcards.reference]
    return view.reference_list if view.needs_reference_images else []


def extractor_of(wildcards):
    """The extractor of a reference, with the name of a further set that it belongs to."""
    view, extractor = REFERENCES[wildcards.reference]
    return view.named_in_set(experiment.extractor_name(extractor))


def references_of(wildcards):
    """Ready statistics; else the images' features, and with them their statistics, which are there for other programs."""
    view = experiment.set_of(wildcards.arm)
    key = view.reference_key(view.extractor(wildcards.extractor))
    images = [] if key in READY else [paths.reference_features(key), view.reference_list]
    return [paths.reference_statistics(key), *images]


def view_of(wildcards):
    """The experiment with the prompts that an arm belongs to."""
    return experiment.set_of(wildcards.arm)


def group_reference(wildcards):
    """The real images of an arm's set of prompts."""
    view = view_of(wildcards)
    return [paths.reference_features(view.reference_key(view.extractor(wildcards.extractor))), view.reference_list]


def of_block(wildcards, files):
    """The input files of a block of the gallery, and those of its set of prompts."""
    view, rows = row_blocks.block_named(experiment, wildcards.rows)
    return files(view, rows)
