"""What a Llama expects next at every token of a given continuation, edited or not."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama.continuing import continuing
from ssae_kit.llama.load import Llama
from ssae_kit.llama.logits import log_probs
from ssae_kit.llama.passes import Edits
from ssae_kit.llama.rows import Texts, token_rows


def next_token_log_probs(
    llama: Llama,
    prompts: Texts,
    continuation: Int[Tensor, "texts tokens"],
    *,
    edits: Edits = None,
) -> Float[Tensor, "texts tokens vocab"]:
    """Return the log-probabilities of every token at each place of a continuation.

    The continuation is given (teacher forcing): place t is predicted from the prompt and the
    tokens before t, whatever the model itself would have written. Edits act as in `generate`: at
    "last" once, while the prompt is read; at "all" also on every token that follows.

    Args:
        llama: The model.
        prompts: One per row, none empty; or their token ids.
        continuation: Token ids, padded on the right with any id; places behind a padding id are
            meaningless, and yours to leave out.
        edits: As in `run`.

    Returns:
        Natural logarithms, float32, on the model's device. Memory: 4 bytes times texts times
        tokens times vocabulary, some five times over while it is computed.

    Raises:
        ValueError: if there is no prompt, one is empty or too long, the numbers of prompts, rows
            and vectors differ, or a logit is not finite.
    """
    return log_probs(llama, next_token_states(llama, prompts, continuation, edits))


@torch.no_grad()
def next_token_states(
    llama: Llama, prompts: Texts, continuation: Int[Tensor, "texts tokens"], edits: Edits
) -> Float[Tensor, "texts tokens d_model"]:
    """Return the states that `log_probs` makes predictions of; small beside them."""
    rows = token_rows(llama, prompts)
    continuation = checks.indices("continuation", continuation, "texts tokens")
    most = llama.model.config.vocab_size - 1
    if not ((continuation >= 0) & (continuation <= most)).all():
        raise ValueError(f"`continuation` must hold token ids, 0 to {most}; some are not.")
    if len(prompts) != len(continuation):
        raise ValueError(
            f"one continuation per prompt is required ({len(prompts)}); got {len(continuation)}."
        )
    with continuing(llama, rows, edits) as reader:
        states = reader.prompts[:, None]
        if continuation.shape[1] > 1:
            states = torch.cat([states, reader.more(continuation[:, :-1].cpu())], dim=1)
    return states
