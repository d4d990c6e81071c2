"""What images are generated with, and what changes the speed only: pydantic models of two keys of the config."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from emudrift.config.base import GuidanceScale, Settings

# The authors' published recipe (FACTS of BAAI/Emu3-Gen's own inference script).
SUFFIX = " masterpiece, film grained, best quality."
NEGATIVE_PROMPT = (
    "lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped, worst quality, "
    "low quality, normal quality, jpeg artifacts, signature, watermark, username, blurry."
)


class Generation(Settings):
    """What images are generated with. Every key here can change a pixel."""

    width: Annotated[int, Field(ge=8, le=8192)] = Field(512, description="Pixels; a multiple of 8.")
    height: Annotated[int, Field(ge=8, le=8192)] = Field(512, description="Pixels; a multiple of 8.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="Of the model's networks; the VQ stays in float32."
    )
    attention: Literal["auto", "sdpa", "flash", "eager", "flash_attention_2"] = Field(
        "auto",
        description="auto: flash where it agrees with sdpa (engine: grid, GPU, 16 bit), else sdpa; the arm's first shard chooses "
        "for all. engine: grid knows also sdpa (everywhere) and flash (torch's own variable-length FlashAttention; GPU, 16 "
        "bit); engine: reference knows sdpa, eager and flash_attention_2.",
    )
    engine: Literal["grid", "reference"] = Field(
        "grid", description="grid: one batched forward per token; reference: transformers' own generate, slow."
    )
    top_k: Annotated[int, Field(ge=1)] = Field(2048, description="Sample among the top_k likeliest visual tokens.")
    suffix: str = Field(SUFFIX, description="Appended to every caption; no space is added, so begin it with one.")
    suffix_overrides: dict[GuidanceScale, str] = Field(
        {}, description="Another suffix for single guidance scales. The published study did so; it confounds the two."
    )
    negative_prompt: str = Field(NEGATIVE_PROMPT, description="The unconditional half of guidance; carries the header.")
    decoder_tf32: bool = Field(
        False,
        description="Whether the VQ decodes with TF32 on a GPU: faster, and its convolutions keep 10 of float32's 23 bits.",
    )

    def attention_on(self, device: str) -> str:
        """The kernel for attention, as an arm's settings state it: auto only where there is a choice."""
        choice = self.engine == "grid" and self.dtype != "float32" and device == "cuda"
        return "sdpa" if self.attention == "auto" and not choice else self.attention

    def suffix_at(self, guidance_scale: float | None) -> str:
        """What is appended to captions at a guidance scale."""
        return self.suffix if guidance_scale is None else self.suffix_overrides.get(guidance_scale, self.suffix)

    @model_validator(mode="after")
    def _engine_knows_attention(self) -> "Generation":
        known = {"grid": ("flash",), "reference": ("eager", "flash_attention_2")}[self.engine]
        if self.attention not in ("auto", "sdpa", *known):
            raise ValueError(
                f"engine: {self.engine} knows attention: auto, sdpa, {', '.join(known)}; {self.attention} belongs to the other "
                "engine"
            )
        if self.attention == "flash" and self.dtype == "float32":
            raise ValueError("attention: flash needs dtype: bfloat16 or float16; with float32 use attention: sdpa")
        return self

    @field_validator("width", "height")
    @classmethod
    def _multiple_of_eight(cls, value: int) -> int:
        if value % 8:
            raise ValueError(f"{value} is not a multiple of 8 (Emu3's tokens are 8 x 8 pixels); try {value // 8 * 8}")
        return value


class Resources(Settings):
    """What changes the speed and nothing else: a change here reruns nothing."""

    generation_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Images generated together; auto: as many as fit into the GPU's free memory (16 on a CPU)."
    )
    answer_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="Questions answered together; auto: as many as fit into the GPU's free memory (16 on a CPU).",
    )
    feature_batch_size: Annotated[int, Field(ge=1)] = Field(64, description="Images per step of the extractor.")
    gpus_per_node: Annotated[int, Field(ge=1)] = Field(
        4, description="Shards that one job of generate_on_nodes generates at once (docs/your-cluster.md#whole-nodes)."
    )
