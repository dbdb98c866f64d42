"""Text that a Llama writes, edited or not."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama.edits import Edit
from ssae_kit.llama.load import Llama
from ssae_kit.llama.logits import BUDGET, COPIES, unembed
from ssae_kit.llama.passes import Edits, edits_for
from ssae_kit.llama.predict import continuing
from ssae_kit.llama.rows import Rows, Texts, token_rows
from ssae_kit.llama.sites import Site

Sampler = Callable[[Tensor], Tensor]
"""Draws one token for each row of logits."""


@torch.no_grad()
def generate(
    llama: Llama,
    prompts: Texts,
    *,
    max_new_tokens: int,
    generator: torch.Generator,
    edits: Edits = None,
    intervention: Edits = None,
    temperature: float = 1.0,
    n_ways: int = 1,
    batch_size: int = 512,
) -> list[str]:
    """Continue each prompt, edited or not, by sampling from all tokens.

    Every text has a random stream of its own. With the same generator seed, steered and unsteered
    texts draw the same random numbers, so they differ only by what the edit does, however many are
    written at once. Several ways to steer the same texts can be written together, as blocks of
    prompts one after the other: the same place in each block draws the same random numbers.

    Args:
        llama: The model. Of its generation settings, only the end tokens are used.
        prompts: Texts to continue, or their token ids.
        max_new_tokens: Longest continuation, in tokens.
        generator: Source of the sampling.
        edits: As in `run`. At "last", the last token of the prompt; at "all", new tokens too.
        intervention: The older name of `edits`.
        temperature: Above 0; below 1 is more cautious than the model.
        n_ways: Number of blocks of equal length that the prompts consist of.
        batch_size: Prompts per pass; fewer where they would take more than 2 GB beside the weights.

    Returns:
        The continuations without their prompts.

    Raises:
        ValueError: if there is no prompt, one is empty, or too long for what is to follow, the
            temperature is not above 0, an edit does not fit the prompts, these cannot be divided
            into `n_ways` blocks, or a logit is not finite.
        TypeError: if `generator` is none.
    """
    checks.require_generator(generator)
    checks.require("temperature", temperature, "above 0", lambda t: 0 < t < float("inf"))
    counts = {"max_new_tokens": max_new_tokens, "batch_size": batch_size, "n_ways": n_ways}
    for name, count in counts.items():
        checks.whole(name, count)
    rows = token_rows(llama, prompts)
    _check_room(llama, rows, max_new_tokens, n_ways)
    if intervention:
        edits = {**intervention, **(edits or {})}
    own = edits_for(llama, edits, rows)
    size = min(batch_size, _texts_at_once(llama, max(map(len, rows)), max_new_tokens))
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    texts = [""] * len(rows)
    places = torch.arange(len(rows)).view(n_ways, -1)
    for block in places.split(max(1, size // n_ways), dim=1):
        chosen = block.flatten()
        sample = _sampler(temperature, n_ways, [seed + i for i in block[0].tolist()], llama.device)
        some = {site: edit.rows(chosen) for site, edit in own.items()}
        written = _write(llama, [rows[i] for i in chosen.tolist()], max_new_tokens, sample, some)
        for i, text in zip(chosen.tolist(), written, strict=True):
            texts[i] = text
    return texts


def _check_room(llama: Llama, rows: Rows, max_new_tokens: int, n_ways: int) -> None:
    if len(rows) % n_ways:
        raise ValueError(
            f"`n_ways` blocks of equal length are required; got {len(rows)} prompts and `n_ways` "
            f"{n_ways}. Give every way the same number of prompts."
        )
    longest, limit = max(map(len, rows)), llama.model.config.max_position_embeddings
    if longest + max_new_tokens > limit:
        raise ValueError(
            f"prompt and continuation must fit into the {limit} tokens that {llama.name} reads; got "
            f"a prompt of {longest} and `max_new_tokens` {max_new_tokens}. Shorten one of them."
        )


def _texts_at_once(llama: Llama, n_prompt: int, n_new: int) -> int:
    """Number of texts whose prompt and continuation fit the budget together, at least 1."""
    config, size = llama.model.config, llama.model.dtype.itemsize
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = 2 * config.num_hidden_layers * config.num_key_value_heads * width * (n_prompt + n_new)
    layer = n_prompt * (3 * config.intermediate_size + 4 * config.hidden_size)
    logits = 4 * COPIES * config.vocab_size
    return max(1, int(BUDGET // (size * (cache + layer) + logits)))


def _sampler(
    temperature: float, n_ways: int, seeds: Sequence[int], device: torch.device
) -> Sampler:
    """Noise on the logits, so that the largest is a sample from their softmax.

    One stream per text, the same for the same place in every block of texts.

    Source: Gumbel 1954; Maddison, Tarlow & Minka 2014 (arXiv 1411.0030), section 2.
    """
    streams = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def sample(logits: Float[Tensor, "texts vocab"]) -> Int64[Tensor, " texts"]:
        noise = torch.empty(len(streams), logits.shape[1], device=device)
        for row, stream in zip(noise, streams, strict=True):
            row.exponential_(generator=stream)
        noise = noise.clamp_(min=1e-30).log_().to(logits.device)
        scores = (logits.float() / temperature).view(n_ways, *noise.shape) - noise
        return scores.flatten(0, 1).argmax(-1)

    return sample


def _write(
    llama: Llama,
    rows: list[list[int]],
    length: int,
    sample: Sampler,
    edits: Mapping[Site, Edit],
) -> list[str]:
    named = llama.model.generation_config.eos_token_id  # one, several or none
    ends = torch.tensor([] if named is None else named).flatten()
    padding = llama.tokenizer.pad_token_id
    padding = int(ends[:1].sum()) if padding is None else padding
    new, is_done = torch.empty(len(rows), 0).long(), torch.zeros(len(rows), dtype=torch.bool)
    with continuing(llama, rows, edits) as reader:  # type: ignore[arg-type]
        states = reader.prompts
        for _ in range(length):
            token = sample(unembed(llama, states)).cpu()
            token = token.masked_fill(is_done, padding)
            new = torch.cat([new, token[:, None]], dim=1)
            is_done |= torch.isin(token, ends)
            if is_done.all() or new.shape[1] == length:
                break
            states = reader.more(token[:, None])[:, 0]
    decoded: list[str] = llama.tokenizer.batch_decode(new, skip_special_tokens=True)
    return [text.strip() for text in decoded]
