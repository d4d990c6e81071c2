"""Which adapters of PEFT have a strength: those whose change of the weights is proportional to it."""

import dataclasses
from typing import Any

# Start values that leave the base weights as they are; the others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) are subtracted from them.
_PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal")


def why_not_linear(config: Any) -> str:
    """Why an adapter at a scale is not W0 + scale * (W1 - W0); "" where it is, as peft scales it."""
    kind = config.peft_type.value
    if kind not in ("LORA", "ADALORA"):
        return f"peft scales LoRA layers only, and this is of type {kind}"
    if config.use_dora:
        return "DoRA divides by the norm of the changed weights, so that its change is not proportional to the scale"
    if config.init_lora_weights not in _PLAIN_STARTS:
        return f"init_lora_weights: {config.init_lora_weights} changes the base weights as well, which scaling leaves changed"
    if config.layer_replication:
        return "layer_replication changes the base model as well"
    if config.bias != "none":
        return f"bias: {config.bias} trains biases, which peft does not scale"
    for key in ("modules_to_save", "trainable_token_indices"):
        if getattr(config, key):
            return f"{key} replaces weights of the base model, which peft does not scale"
    for field in dataclasses.fields(config):
        if field.metadata.get("is_lora_variant") and getattr(config, field.name):
            return f"its variant of LoRA ({field.name}) is not known to be proportional to the scale"
    return ""
