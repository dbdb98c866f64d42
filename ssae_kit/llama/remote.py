"""The same intervention on a Llama that runs elsewhere: NDIF, through nnsight (extra `remote`).

An 8B model wants a GPU. The National Deep Inference Fabric lends one for interventions: the vectors
are sent there, the texts come back. It needs a key from https://login.ndif.us, set once with
``nnsight.CONFIG.set_default_api_key``.
"""

from collections.abc import Sequence
from typing import Any

import torch

from ssae_kit.llama.intervene import Intervention
from ssae_kit.llama.load import Llama


def generate_elsewhere(
    model: str | Llama,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    intervention: Intervention | None = None,
) -> list[str]:
    """Continue each prompt greedily, with or without a nudge at its last token.

    Greedily, because the random numbers of a machine elsewhere cannot be seeded from here.

    Args:
        model: Name on the hub of a model that NDIF serves, such as "meta-llama/Llama-3.1-8B": it
            runs there. A loaded Llama runs here, through the same code; so this path can be tested.
        prompts: Texts to continue.
        max_new_tokens: Longest continuation, in tokens.
        intervention: One vector per prompt, added once at the last prompt token, or None.

    Returns:
        The continuations without their prompts.

    Raises:
        ImportError: if nnsight is not installed.
        ValueError: if the number of vectors is not the number of prompts, the intervention is not
            `at="last"`, or the layer does not exist.
    """
    try:
        from nnsight import TransformersModel
    except ImportError as error:
        raise ImportError(
            "running a model elsewhere needs nnsight; it is not installed. "
            "Run: pip install -e '.[remote]'"
        ) from error
    is_here, task = isinstance(model, Llama), "text-generation"
    if isinstance(model, Llama):
        nn: Any = TransformersModel(model.model, task=task, tokenizer=model.tokenizer)
    else:
        nn = TransformersModel(model, task=task)
    inputs = _padded(nn.tokenizer, prompts)
    if intervention is not None:
        _check(intervention, len(prompts), len(nn.model.layers))
    options = {"max_new_tokens": max_new_tokens, "do_sample": False, "remote": not is_here}
    with nn.generate(inputs, pad_token_id=nn.tokenizer.pad_token_id, **options) as tracer:
        if intervention is not None:
            block = nn.model.layers[intervention.layer - 1]
            block.output[:, -1] += intervention.vectors.to(block.output)
        tokens = tracer.result.save()
    new = tokens[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in nn.tokenizer.batch_decode(new, skip_special_tokens=True)]


def _padded(tokenizer: Any, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return dict(tokenizer(list(prompts), return_tensors="pt", padding=True))


def _check(intervention: Intervention, n_prompts: int, n_layers: int) -> None:
    if intervention.at != "last" or not 1 <= intervention.layer <= n_layers:
        raise ValueError(
            f"elsewhere an intervention must be at='last' of a layer in 1..{n_layers}; got "
            f"at={intervention.at!r}, layer {intervention.layer}."
        )
    if len(intervention.vectors) != n_prompts:
        raise ValueError(
            f"one vector per prompt is required ({n_prompts}); got {len(intervention.vectors)}."
        )
