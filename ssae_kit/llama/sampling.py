"""Text that a Llama writes, with or without an intervention."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor

from ssae_kit.llama.hidden import token_rows
from ssae_kit.llama.intervene import Intervention, intervene
from ssae_kit.llama.load import Llama


@torch.no_grad()
def generate(
    llama: Llama,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    generator: torch.Generator,
    intervention: Intervention | None = None,
    temperature: float = 1.0,
    n_ways: int = 1,
    batch_size: int = 512,
) -> list[str]:
    """Continue each prompt, with or without an intervention.

    With the same generator seed, steered and unsteered texts draw the same random numbers, so
    they differ only by what the intervention does. Several ways to steer the same texts can be
    written at once, as blocks of prompts one after the other: that is faster, and the same place in
    each block draws the same random numbers.

    Args:
        llama: The model.
        prompts: Texts to continue.
        max_new_tokens: Longest continuation, in tokens.
        generator: Source of the sampling.
        intervention: One vector per prompt, or None.
        temperature: Above 0; below 1 is more cautious than the model.
        n_ways: Number of blocks of equal length that the prompts consist of.
        batch_size: Prompts per pass.

    Returns:
        The continuations without their prompts.

    Raises:
        ValueError: if there is no prompt, one is empty, or too long for what is to follow, the
            temperature is not above 0, the number of vectors is not the number of prompts, or the
            prompts cannot be divided into `n_ways` blocks.
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be above 0; got {temperature}.")
    if intervention is not None and len(intervention.vectors) != len(prompts):
        raise ValueError(
            f"one vector per prompt is required ({len(prompts)}); got {len(intervention.vectors)}."
        )
    if n_ways < 1 or len(prompts) % n_ways:
        raise ValueError(
            f"`n_ways` blocks of equal length are required; got {len(prompts)} prompts and "
            f"`n_ways` {n_ways}. Give every way the same number of prompts."
        )
    rows = token_rows(llama, prompts)
    _check_length(llama, max(map(len, rows)), max_new_tokens)
    places = torch.arange(len(prompts)).view(n_ways, -1)
    texts = [""] * len(prompts)
    for block in places.split(max(1, batch_size // n_ways), dim=1):
        chosen = block.flatten()
        part = intervention and replace(intervention, vectors=intervention.vectors[chosen])
        noise = _GumbelNoise(temperature, n_ways, generator, llama.device)
        with intervene(llama, part) if part else nullcontext():
            written = _write(llama, [rows[i] for i in chosen.tolist()], max_new_tokens, noise)
        for i, text in zip(chosen.tolist(), written, strict=True):
            texts[i] = text
    return texts


def _check_length(llama: Llama, longest: int, max_new_tokens: int) -> None:
    limit = llama.model.config.max_position_embeddings
    if longest + max_new_tokens > limit:
        raise ValueError(
            f"prompt and continuation must fit into the {limit} tokens that {llama.name} reads; got "
            f"a prompt of {longest} and `max_new_tokens` {max_new_tokens}. Shorten one of them."
        )


class _GumbelNoise(LogitsProcessor):  # type: ignore[misc]
    """Noise on the logits, so that the largest is a sample from their softmax.

    The same for the same place in every block of texts.

    Source: Gumbel 1954; Maddison, Tarlow & Minka 2014 (arXiv 1411.0030), section 2.
    """

    def __init__(
        self, temperature: float, n_ways: int, generator: torch.Generator, device: torch.device
    ) -> None:
        seed = int(torch.randint(2**62, (), generator=generator))
        self.generator = torch.Generator(device).manual_seed(seed)
        self.temperature, self.n_ways = temperature, n_ways

    def __call__(
        self, _ids: Int[Tensor, "texts tokens"], scores: Float[Tensor, "texts vocab"]
    ) -> Float[Tensor, "texts vocab"]:
        noise = torch.empty(
            len(scores) // self.n_ways, scores.shape[1], device=self.generator.device
        )
        noise.exponential_(generator=self.generator).clamp_(min=1e-30)
        return scores / self.temperature - noise.log_().repeat(self.n_ways, 1).to(scores.device)


def _write(llama: Llama, rows: list[list[int]], length: int, noise: _GumbelNoise) -> list[str]:
    padded = llama.tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(llama.device)
    out = llama.model.generate(
        input_ids=padded["input_ids"],
        attention_mask=padded["attention_mask"],
        max_new_tokens=length,
        do_sample=False,  # the noise makes the likeliest token a sample
        temperature=None,
        top_k=None,
        top_p=None,
        logits_processor=[noise],
        pad_token_id=llama.tokenizer.pad_token_id,
    )
    new = out[:, padded["input_ids"].shape[1] :]
    decoded: list[str] = llama.tokenizer.batch_decode(new, skip_special_tokens=True)
    return [text.strip() for text in decoded]
