"""How good are the codes themselves? Reconstruction, sparsity, labels, and which latent follows which."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.metrics.matching import Matching
from ssae_kit.metrics.vectors import ROUNDING, centred_unit, paired


def unexplained_variance(
    inputs: Float[Tensor, "*run samples d_model"], decoded: Float[Tensor, "*run samples d_model"]
) -> Float[Tensor, "*run"]:
    """Share of variance about the mean that the reconstruction misses; 0 is perfect.

    Args:
        inputs: What was encoded.
        decoded: Its reconstruction, same rows.

    Returns:
        Unitless; 1 is as good as predicting the mean, above 1 is worse.

    Raises:
        ValueError: if the inputs do not vary beyond rounding, shapes differ, or a value is not
            finite.
    """
    axes = "*run samples d_model"
    inputs, decoded = checks.tensors(inputs=(inputs, axes), decoded=(decoded, axes))
    total = (inputs - inputs.mean(-2, keepdim=True)).square().sum((-2, -1))
    if not (total > ROUNDING**2 * inputs.square().sum((-2, -1))).all():
        raise ValueError(
            "the inputs must vary, or there is no variance to explain; every one is the same, a "
            "constant. Check how they were collected."
        )
    share: Tensor = (inputs - decoded).square().sum((-2, -1)) / total
    checks.require_finite("share", share, "The inputs are far too small: scale both.")
    return share


def loss_recovered(
    clean: Float[Tensor, "*run"], spliced: Float[Tensor, "*run"], ablated: Float[Tensor, "*run"]
) -> Float[Tensor, "*run"]:
    """Share of the loss that ablating a layer costs which its reconstruction wins back; 1 is best.

    Args:
        clean: Loss of the language model as it is, in nats per token.
        spliced: Its loss with the reconstruction in the layer's place.
        ablated: Its loss with the layer replaced by its mean, or by zero. Say which: zero is often
            the worse replacement, and then flatters the reconstruction.

    Returns:
        Unitless; 0 is as good as the ablation, below 0 is worse.

    Raises:
        ValueError: if the ablation does not cost anything, or a loss is not finite.

    Source: Bricken et al. 2023, "Towards Monosemanticity" (there with zero).
    """
    clean, spliced, ablated = checks.tensors(
        clean=(clean, "*run"), spliced=(spliced, "*run"), ablated=(ablated, "*run")
    )
    if not (ablated > clean).all():
        raise ValueError(
            "ablating the layer must cost something, or there is nothing to recover; the loss went "
            f"from {float(clean.max()):.4f} to {float(ablated.min()):.4f}. Choose another layer."
        )
    share: Tensor = (ablated - spliced) / (ablated - clean)
    checks.require_finite(
        "share", share, "The ablation costs next to nothing: choose another layer."
    )
    return share


def l0(codes: Float[Tensor, "*run samples latents"]) -> Float[Tensor, "*run"]:
    """Mean number of latents that fire per sample; smaller is sparser.

    Args:
        codes: A latent fires where its code is not 0.

    Returns:
        A count, 0 to the number of latents.

    Raises:
        ValueError: if a code is not finite, or there are none.
    """
    (codes,) = checks.tensors(codes=(codes, "*run samples latents"))
    return (codes != 0).to(codes.dtype).sum(-1).mean(-1)


def dead_share(codes: Float[Tensor, "*run samples latents"]) -> Float[Tensor, "*run"]:
    """Share of latents that fire on none of the samples; 0 is best.

    Args:
        codes: A latent fires where its code is not 0. Too few samples make rare latents look dead.

    Returns:
        Unitless, 0 to 1.

    Raises:
        ValueError: if a code is not finite, or there are none.
    """
    (codes,) = checks.tensors(codes=(codes, "*run samples latents"))
    return (codes == 0).all(-2).to(codes.dtype).mean(-1)


@dataclass(frozen=True)
class Firing:
    """How well the firing of each concept's latent detects that the concept is active."""

    precision: Float[Tensor, "run concepts"]
    """Share of the latent's firings in which the concept is active, 0 to 1."""
    recall: Float[Tensor, "run concepts"]
    """Share of the concept's activity on which the latent fires, 0 to 1."""

    @property
    def f1(self) -> Float[Tensor, "run concepts"]:
        """Harmonic mean of precision and recall, 0 to 1; 1 is a perfect detector."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both.clamp_min(1e-30)


def firing(
    codes: Float[Tensor, "run samples latents"],
    active: Bool[Tensor, "samples concepts"],
    matching: Matching,
) -> Firing:
    """Precision, recall and F1 of matched latents as detectors of their concepts; 1 is best.

    Args:
        codes: A latent fires where its code is not 0.
        active: Whether each concept is active, same samples.
        matching: Which latent stands for which concept, as `mcc_codes` or `mcc_directions` says.
            A concept without a latent scores 0.

    Raises:
        ValueError: if samples are too few, differ in number, or hold a value that is not finite; if
            `active` is neither 0 nor 1, or the matching is of other codes.

    Source: SAELens, `eval_sae_on_synthetic_data` (there for the decoder matching).
    """
    checks.require_kind("matching", matching, Matching, "mcc_codes(codes, changes)")
    codes, truth = paired(codes, "active", active)
    checks.mask("active", truth)
    wanted = (codes.shape[0], truth.shape[1])
    if matching.latent.shape != wanted or not (matching.latent < codes.shape[2]).all():
        raise ValueError(
            f"`matching` must be of these codes and concepts: [run, concepts] = {list(wanted)} and "
            f"latents below {codes.shape[2]}; its shape is {list(matching.latent.shape)}."
        )
    latent = matching.latent.to(codes.device)
    chosen = latent.clamp_min(0)[:, None].expand(-1, codes.shape[1], -1)
    fires = (codes.gather(-1, chosen) != 0).to(codes.dtype)
    fires = fires * (latent >= 0)[:, None]
    hits = (fires * truth).sum(1)
    return Firing(hits / fires.sum(1).clamp_min(1), hits / truth.sum(0).clamp_min(1))


def label_mcc(
    codes: Float[Tensor, "run samples latents"], labels: Float[Tensor, "samples concepts"]
) -> Float[Tensor, "run concepts"]:
    """Highest absolute correlation of any latent with each label; 1 is best.

    Picking the best of many latents finds something even in noise: report it beside the score of
    noise with as many latents and samples, or choose the latent on other samples.

    Args:
        codes: Any number of latents; several labels may share one.
        labels: One column per label, 0 or 1, or any number.

    Returns:
        Unitless, 0 to 1. A constant latent or label correlates 0 with anything.

    Raises:
        ValueError: if samples are too few, differ in number, or hold a value that is not finite.

    Source: the SSAE authors' `evaluate_mcc` (there signed; ours counts both signs).
    """
    codes, labels = paired(codes, "labels", labels)
    similarity = centred_unit(codes, 1).mT @ centred_unit(labels, 0)
    return similarity.abs().amax(1).clamp(max=1.0)


@dataclass(frozen=True)
class Handovers:
    """For each latent: the token it promotes, and the latent that fires on that token."""

    successor: Int[Tensor, " latents"]
    """The latent with the highest mean code on the promoted token; -1 if no code is above 0
    there, or the token never occurs."""
    said: Float[Tensor, " latents"]
    """Share of the latent's firings after which the promoted token comes, 0 to 1."""
    follows: Float[Tensor, " latents"]
    """Share of the latent's firings right after which the successor fires, 0 to 1."""
    by_chance: Float[Tensor, " latents"]
    """Share of all tokens on which the successor fires, 0 to 1."""


def handovers(
    codes: Float[Tensor, "tokens latents"],
    ids: Int[Tensor, " tokens"],
    text: Int[Tensor, " tokens"],
    promoted: Int[Tensor, " latents"],
) -> Handovers:
    """Follow the baton: latent, the token it promotes, the latent that fires on that token.

    Args:
        codes: At least 0; a latent fires where its code is not 0. One that never fires scores 0.
        ids: Token at each position.
        text: Number of the text it belongs to; nothing is handed over between texts.
        promoted: Token whose logit each latent raises most.

    Raises:
        ValueError: if the lengths differ, or a code is not finite or below 0.
        TypeError: if tokens are not given as whole numbers.

    Source: Bricken et al. 2023, "Towards Monosemanticity", finite state automata.
    """
    axes = {"ids": (ids, "tokens"), "text": (text, "tokens"), "promoted": (promoted, "latents")}
    codes, *_ = checks.tensors(codes=(codes, "tokens latents"), **axes)
    ids, text, promoted = (
        checks.indices(name, values, "n").to(codes.device) for name, (values, _) in axes.items()
    )
    if not (codes >= 0).all():
        raise ValueError("`codes` must be at least 0; some are below. Take their absolute values.")
    is_promoted = (ids[:, None] == promoted).to(codes.dtype)
    strongest = (is_promoted.mT @ codes).max(1)
    successor = strongest.indices.masked_fill(strongest.values <= 0, -1)
    fires = (codes != 0).to(codes.dtype)
    successor_fires = fires[:, successor.clamp_min(0)] * (successor >= 0)
    goes_on = (text[1:] == text[:-1]).to(codes.dtype)[:, None]
    before = fires[:-1] * goes_on
    n_fires = before.sum(0).clamp_min(1)
    said = (before * is_promoted[1:]).sum(0) / n_fires
    follows = (before * successor_fires[1:]).sum(0) / n_fires
    return Handovers(successor, said, follows, successor_fires.mean(0))
