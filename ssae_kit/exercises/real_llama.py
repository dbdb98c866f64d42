"""Exercises of notebook 07: a Llama that nobody trained for the course."""

import torch
from torch import Tensor, tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import correlations, normal, norms


def sink_ratio(states: Tensor) -> Tensor:
    """Norm of the first token's state over the median norm of the others."""
    return norms(states, 1)[0] / norms(states[1:], 1).median()


def mean_over_tokens(states: Tensor, lengths: Tensor) -> Tensor:
    """Mean state of each text's tokens, without its begin token and the padding."""
    places = torch.arange(states.shape[1])
    inside = ((places >= 1) & (places < lengths[:, None])).to(states.dtype)[..., None]
    return (states * inside).sum(1) / inside.sum(1)


def log_odds(logits: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Log-odds of the words `high` together against the words `low` together."""
    return logits[:, high].logsumexp(1) - logits[:, low].logsumexp(1)


def surprise(own: float, random: Tensor) -> Tensor:
    """Share of directions, the own one among them, that move the odds as far or farther."""
    return (1 + (random.abs() >= abs(own)).sum()) / (1 + len(random))


def held_out(codes: Tensor, changes: Tensor, new_codes: Tensor, new_changes: Tensor) -> Tensor:
    """Signed correlation on new pairs of the latent and sign that the old pairs chose."""
    old, new = correlations(codes, changes), correlations(new_codes, new_changes)
    chosen = old.abs().argmax(0, keepdim=True)
    return (new.gather(0, chosen) * old.gather(0, chosen).sign())[0]


STATES = normal(1, 9, 4) * tensor([50.0, 1, 2, 3, 1, 9, 1, 2, 1])[:, None]
TEXTS, LENGTHS = normal(2, 4, 7, 3), tensor([7, 4, 5, 3])
LOGITS = normal(3, 5, 12)
EFFECTS = normal(4, 19)
OLD, NEW = (normal(seed, 40, 3).sign() for seed in (5, 6))
MIXED = tensor([[1.0, 0.2, 0.1, 0.9], [0.1, -1.0, 0.2, 0.0], [0.0, 0.1, 1.0, -0.3]])
OLD_CODES = OLD @ MIXED + 0.1 * normal(7, 40, 4)
# On the new pairs another latent happens to read the first concept best, and the last sign turns.
TURNED = MIXED * tensor([0.5, 1.0, -1.0, 1.0])
NEW_CODES = NEW @ TURNED + 0.6 * normal(8, 40, 4)
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "sink": Exercise(1, sink_ratio, [
        (tensor([[0.0, 30.0], [3.0, 4.0], [0.0, 5.0], [6.0, 8.0]]),), (STATES,),
    ], {
        "the first token is in the median that it is compared with: leave it out.": "[1:] ->",
        "take the median of the others: their mean is drawn up by a few long ones.":
            lambda s: s[0].norm() / s[1:].norm(dim=1).mean(),
        "turned round: the first token's norm goes on top.": lambda s: 1 / sink_ratio(s),
        "norms first, then the median: the median of the states is no token's state.":
            lambda s: s[0].norm() / s[1:].median(0).values.norm(),
    }, "norm of states[0], over the median of the norms of states[1:].", level="easy"),
    "mean": Exercise(2, mean_over_tokens, [
        (tensor([[[9.0], [1.0], [3.0], [7.0]]]), tensor([3])), (TEXTS, LENGTHS),
    ], {
        "the begin token is in your mean. It is the sink: it would drown everything else.":
            "places >= 1 -> places >= 0",
        "places behind a text's end are in your mean. They mean nothing: count up to the length.":
            lambda s, n: s[:, 1:].mean(1),
        "divide by the number of tokens that you added up, not by the longest text's.":
            lambda s, n: mean_over_tokens(s, n) * (n - 1)[:, None] / (s.shape[1] - 1),
        "you divided by all tokens of the text, but added up all but the begin token.":
            lambda s, n: mean_over_tokens(s, n) * ((n - 1) / n)[:, None],
    }, "mean of states[i, 1:lengths[i]].", "mean states [texts, d_model]"),
    "odds": Exercise(2, log_odds, [
        (tensor([[0.0, 0.0, 1.0, 5.0]]), tensor([0, 1]), tensor([2])),
        (LOGITS, tensor([0, 3, 4]), tensor([1, 7])),
    ], {
        "turned round: words of value 1 (`high`) against words of value 0 (`low`).": "-> -right",
        "add up probabilities, not their logarithms: logsumexp.": "logsumexp -> sum",
        "a mean of logits asks how likely a typical word is. Asked is how likely *any* of them is: "
        "logsumexp.": lambda x, a, b: x[:, b].mean(1) - x[:, a].mean(1),
        "only the likeliest word of each list counts here. Let all of them count: logsumexp.":
            lambda x, a, b: x[:, b].amax(1) - x[:, a].amax(1),
        "this is a difference of probabilities; asked is the logarithm of their ratio.":
            lambda x, a, b: x.softmax(1)[:, b].sum(1) - x.softmax(1)[:, a].sum(1),
    }, "log of the sum of probabilities of `high`, minus that of `low`.", "[prompts]"),
    "surprise": Exercise(2, surprise, [
        (2.0, tensor([1.0, -3.0, 0.5])), (1.1, EFFECTS), (-0.4, EFFECTS), (9.0, EFFECTS),
    ], {
        "without the own direction in the count the share can be 0, which no finite number of "
        "draws can show: (1 + as far) / (1 + all).": "1 + ->",
        "a random direction that moves the odds as far the *other* way is as surprising: compare "
        "absolute values.": lambda own, r: (1 + (r >= own).sum()) / (1 + len(r)),
        "this is the share that moves the odds less; asked is the share as far or farther.":
            lambda own, r: (r.abs() < abs(own)).float().mean(),
        "the own direction belongs to all as well: divide by 1 + the number of random ones.":
            lambda own, r: (1 + (r.abs() >= abs(own)).sum()) / len(r),
    }, "(1 + how many are as far or farther) / (1 + how many there are)."),
    "template": Exercise(2, held_out, [
        (tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]]), tensor([[1.0], [0.0], [-1.0]]),
         tensor([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]]), tensor([[1.0], [0.0], [-1.0]])),
        (OLD_CODES, OLD, NEW_CODES, NEW),
    ], {
        "the latents were chosen on the new pairs, which are to grade them. Choose on the old.":
            lambda a, b, c, d: correlations(c, d).abs().amax(0),
        "this is the score on the old pairs, by which the latents were chosen.": "new. -> old.",
        "a latent whose sign turns on the new pairs reads them wrongly: keep the sign of the old.":
            lambda a, b, c, d: held_out(a, b, c, d).abs(),
        "the sign of the old pairs is missing: a latent that falls when the concept rises would "
        "count as wrong.": "* old.gather(0, chosen).sign() ->",
        "choose by the absolute correlation: a latent may point the other way.": ".abs() ->",
    }, "choose latent and sign by `codes` and `changes`; then correlate on the new pairs.",
        "one signed correlation per concept", level="hard"),
}
