"""What a Llama expects next at every token of a given continuation, steered or not."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit.llama.hidden import token_rows
from ssae_kit.llama.intervene import Intervention, adding, edit, intervene
from ssae_kit.llama.load import Llama


@torch.no_grad()
def next_token_log_probs(
    llama: Llama,
    prompts: Sequence[str],
    continuation: Int[Tensor, "texts tokens"],
    intervention: Intervention | None = None,
) -> Float[Tensor, "texts tokens vocab"]:
    """Return the log-probabilities of every token at each place of a continuation.

    The continuation is given (teacher forcing): place t is predicted from the prompt and the
    tokens before t, whatever the model itself would have written. The intervention acts as in
    `generate`: at "last" once, while the prompt is read; at "all" also on every token that follows.

    Args:
        llama: The model.
        prompts: One per row, none empty.
        continuation: Token ids, padded on the right with any id; places behind a padding id are
            meaningless, and yours to leave out.
        intervention: One vector per prompt, or None.

    Returns:
        Natural logarithms, float32, on the model's device. Memory: 4 bytes times texts times
        tokens times vocabulary.

    Raises:
        ValueError: if there is no prompt, one is empty or too long, or the numbers of prompts, rows
            and vectors differ.
    """
    if len(prompts) != len(continuation):
        raise ValueError(
            f"one continuation per prompt is required ({len(prompts)}); got {len(continuation)}."
        )
    rows = {"input_ids": token_rows(llama, prompts)}
    padded = llama.tokenizer.pad(rows, return_tensors="pt").to(llama.device)
    new = continuation.to(llama.device)
    mask = torch.cat([padded["attention_mask"], torch.ones_like(new)], dim=1)
    with intervene(llama, intervention) if intervention else nullcontext():
        first = llama.model(
            padded["input_ids"], attention_mask=padded["attention_mask"], use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
    logits = [first.logits]
    if new.shape[1] > 1:
        go_on = intervention if intervention and intervention.at == "all" else None
        with edit(llama, go_on.layer, adding(go_on)) if go_on else nullcontext():
            rest = llama.model(
                new[:, :-1], attention_mask=mask[:, :-1], past_key_values=first.past_key_values
            )
        logits.append(rest.logits.to(first.logits.device))
    return torch.cat(logits, dim=1).float().log_softmax(-1)
