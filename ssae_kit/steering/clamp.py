"""Steering by a latent of a sparse autoencoder: set its code, keep what it could not reconstruct."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders import Autoencoder
from ssae_kit.methods import as_pairs, require_two_values


@dataclass(frozen=True)
class LatentClamp:
    """One latent per concept, and where its code lies when the concept has either value."""

    autoencoder: Autoencoder
    """Trained on hidden states, not on shifts; a single run."""
    latent: Int[Tensor, " concepts"]
    """The latent that reads each concept best."""
    levels: Float[Tensor, "concepts 2"]
    """Mean code of that latent in texts with value 0 and with value 1."""
    correlation: Float[Tensor, " concepts"]
    """How well it reads: absolute correlation of its code with the value, 0 to 1."""

    @torch.no_grad()
    def vectors(
        self,
        states: Float[Tensor, "texts d_model"],
        values: Int[Tensor, "texts concepts"],
        steered: Bool[Tensor, "texts concepts"],
        strength: float | Float[Tensor, "texts 1"],
    ) -> Float[Tensor, "texts d_model"]:
        """Return what to add to these hidden states so that the latents take the levels wanted.

        The level wanted is that of the old value plus `strength` times the way to the level of
        the new one. Every other code, and the error of the reconstruction, stay as they are.

        Args:
            states: Hidden states that will be edited: those of the prompts, at the same layer.
            values: Concept values of each text, 0 or 1.
            steered: Which concepts to turn in each text.
            strength: 1 sets the typical code of the other value; 0 that of the present one. One
                number, or one per text.

        Raises:
            ValueError: if a value of a steered concept is neither 0 nor 1.
        """
        given = checks.tensors(
            states=(states, "texts d_model"),
            values=(values, "texts concepts"),
            steered=(steered, "texts concepts"),
        )
        states, values, on = (table.to(self.levels.device) for table in given)
        on = checks.mask("steered", on)
        require_two_values(values[on])
        codes = self.autoencoder.encode(states)[0][:, self.latent]
        low, high = self.levels.unbind(1)
        old = torch.where(values == 1, high, low)
        new = torch.where(values == 1, low, high)
        (strength,) = checks.tensors(strength=(strength, "*texts"))
        strength = strength.to(old)
        change = (old + strength * (new - old) - codes) * on
        vectors: Tensor = self.autoencoder.scale * (
            change @ self.autoencoder.directions[0, self.latent]
        )
        return vectors


@torch.no_grad()
def clamp_of(
    autoencoder: Autoencoder,
    states: Float[Tensor, "texts d_model"],
    values: Int[Tensor, "texts concepts"],
) -> LatentClamp:
    """Find for each two-valued concept the latent whose code correlates most with its value.

    Args:
        autoencoder: Trained on hidden states; a single run.
        states: Hidden states of labelled texts.
        values: Concept values of the same texts, 0 or 1.

    Raises:
        ValueError: if there is more than one run, a value is neither 0 nor 1, or a concept has the
            same value in every text.

    Source: Templeton et al. 2024, "Scaling Monosemanticity": clamp a latent, keep the error.
    """
    checks.require_kind("autoencoder", autoencoder, Autoencoder)
    autoencoder.require_one_run()
    given = as_pairs(states, values, ("states", "values"))
    states, ones = (table.to(autoencoder.decoder.device) for table in given)
    require_two_values(ones)
    if (ones.var(0) == 0).any():
        raise ValueError(
            "a latent can be named only by texts of both values; the concept(s) in column(s) "
            f"{(ones.var(0) == 0).nonzero().flatten().tolist()} have one only. Add texts."
        )
    codes = autoencoder.encode(states)[0]
    spread = codes.std(0).clamp_min(1e-12)
    covariance = (ones - ones.mean(0)).mT @ (codes - codes.mean(0)) / (len(codes) - 1)
    correlation = covariance / (ones.std(0)[:, None] * spread)
    best, latent = correlation.abs().max(1)
    read = codes[:, latent]
    levels = [((read * on).sum(0) / on.sum(0)) for on in (1 - ones, ones)]
    return LatentClamp(autoencoder, latent, torch.stack(levels, dim=1), best)
