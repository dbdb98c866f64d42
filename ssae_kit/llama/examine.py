"""What a checkpoint must be like, looked at once, when it is loaded."""

import warnings
from typing import Any

from transformers import GenerationConfig

from ssae_kit import checks
from ssae_kit.upstream import require

require("transformers", GenerationConfig, "to_diff_dict")

NEUTRAL = {
    "top_k": (0, None),
    "use_cache": (True, None),
    "do_sample": (True, False),
    "temperature": (1, None),
    "top_p": (1, None),
}
"""Settings for generation that leave the probabilities as they are, with these values; those for
lengths, tokens and versions do with any."""


def examine(name: str, model: Any, tokenizer: Any) -> None:
    """Look at a checkpoint once: refuse what would be wrong in silence, say what is set aside.

    After this a text begins with one begin token and ends with itself, passes can keep their keys
    and values, transformers' own generation samples from all tokens too, and weights are finite.
    """
    check_fit(tokenizer, model.config.vocab_size, name)
    start = _begin_tokens(name, tokenizer)
    for weight, values in model.named_parameters():
        if not values.is_meta and not checks.is_finite(values):
            raise ValueError(
                f"the weights of {name} must be finite; {weight} holds NaN or infinity. Copy or "
                "download the checkpoint again, or load it in another `dtype`."
            )
    aside = _not_used(model)
    if tokenizer.bos_token_id is not None and start != 1:
        aside.append(f"a tokenizer that puts {start} begin tokens in front; every text gets one")
    if aside:
        warnings.warn(f"{name} brings {'; '.join(aside)}.", stacklevel=3)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.use_cache = True
    ends = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(
        eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, do_sample=True, top_k=0
    )


def _begin_tokens(name: str, tokenizer: Any) -> int:
    """Return how many begin tokens stand in front of a text; anything else around it is refused."""
    bare, row = (tokenizer("a", add_special_tokens=added)["input_ids"] for added in (False, True))
    start = next((i for i in range(len(row)) if row[i : i + len(bare)] == bare), 0)
    behind = tokenizer.convert_ids_to_tokens(row[start + len(bare) :])
    if behind:
        raise ValueError(
            f"the tokenizer of {name} must end with the text; it appends {behind}, whose state "
            "would be read and steered in place of the last word's. Set `add_eos_token` to false in "
            "tokenizer_config.json, or take it out of tokenizer.json's post_processor."
        )
    if set(row[:start]) - {tokenizer.bos_token_id}:
        raise ValueError(
            f"the tokenizer of {name} must put at most a begin token in front of a text; it puts "
            f"{tokenizer.convert_ids_to_tokens(row[:start])}. Correct `bos_token` in "
            "tokenizer_config.json, or take the others out of tokenizer.json's post_processor."
        )
    return start


def _not_used(model: Any) -> list[str]:
    """Settings for generation that a checkpoint brings, and that would change what is sampled."""
    told = {"use_cache": model.config.use_cache} | model.generation_config.to_diff_dict()
    changed = {
        setting: value
        for setting, value in told.items()
        if value not in NEUTRAL.get(setting, (None, False))
        and not setting.startswith(("_", "max_", "transformers_"))
        and not setting.endswith("token_id")
    }
    return [f"settings that are not used here, {changed}"] if changed else []


def check_fit(tokenizer: Any, n_rows: int, name: str) -> None:
    """Raise ValueError unless every token has a row in the weights."""
    if len(tokenizer) > n_rows:
        raise ValueError(
            f"the tokenizer of {name} must fit its weights ({n_rows} rows); it has "
            f"{len(tokenizer)} tokens. Bring the tokenizer that belongs to this checkpoint."
        )
