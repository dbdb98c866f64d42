"""Autoencoders that others published: checked, then built as ours, whatever file they came from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders.jumprelu import JumpReluSAE
from ssae_kit.autoencoders.sparse import GatedSAE, ReluSAE, SparseAutoencoder
from ssae_kit.autoencoders.topk import TopKSAE

OWN_WEIGHTS = {
    "standard": {"b_enc"},
    "topk": {"b_enc"},
    "gated": {"b_gate", "b_mag", "r_mag"},
    "jumprelu": {"b_enc", "threshold"},
}
"""Architectures that the kit can read, and the weights that not all of them have."""
LENGTH_ERROR = 1e-2
"""Largest error of a direction's length that rounding to bfloat16 explains."""


@dataclass(frozen=True)
class Foreign:
    """One autoencoder in SAELens' names and layout.

        f = activation((x - b_dec) W_enc + b_enc),      x' = f W_dec + b_dec

    with one latent per column of W_enc and per row of W_dec.
    """

    folder: Path
    """Where it came from."""
    architecture: str
    """A key of `OWN_WEIGHTS`."""
    tensors: dict[str, Tensor]
    """Weights by name."""
    k: Any = None
    """Latents that may fire, for "topk"."""
    centred: bool = True
    """Whether b_dec is subtracted before the encoder; ours always does."""
    by_length: bool = False
    """Whether "topk" ranks codes times the lengths of their directions."""

    @torch.no_grad()
    def build(self) -> SparseAutoencoder:
        """Return it as an autoencoder of one run with scale 1.

        Decoder directions are brought to unit norm and their lengths worked into the encoder, which
        leaves reconstructions as they are.

        Raises:
            ValueError: if a weight is missing, unknown, of another size or not finite, or `k` is no
                number of latents.
        """
        self._check()
        # Before anything is computed: norms in half precision would be off in the third digit.
        t = {name: values.float() for name, values in self.tensors.items()}
        lengths = t["W_dec"].norm(dim=1).clamp_min(1e-8)  # [latents]
        if self.architecture == "topk" and not self.by_length:
            if not torch.allclose(lengths, torch.ones_like(lengths), rtol=0, atol=LENGTH_ERROR):
                raise ValueError(
                    f"{self.folder}: a topk autoencoder must have unit decoder directions, or rank "
                    "codes by their length (SAELens' `rescale_acts_by_decoder_norm=True`); this one "
                    "does neither. Train it so."
                )
            lengths = torch.ones_like(lengths)  # rescaled by rounding errors, codes would rank anew
        loaded: SparseAutoencoder = self._empty()
        loaded.encoder[0] = (t["W_enc"] * lengths).T
        shift = loaded.encoder[0] @ t["b_dec"] * (0.0 if self.centred else 1.0)
        if isinstance(loaded, GatedSAE):
            loaded.log_magnitude[0] = t["r_mag"]
            loaded.magnitude_bias[0] = t["b_mag"] * lengths + shift * t["r_mag"].exp()
        elif isinstance(loaded, JumpReluSAE):
            loaded.log_threshold[0] = (t["threshold"] * lengths).clamp_min(1e-30).log()
        loaded.encoder_bias[0] = t.get("b_enc", t.get("b_gate")) * lengths + shift
        loaded.decoder[0] = (t["W_dec"] / lengths[:, None]).T
        loaded.decoder_bias[0] = t["b_dec"]
        return loaded

    def _empty(self) -> Any:
        sizes = (1, *reversed(self.tensors["W_dec"].shape))
        kinds = {"standard": ReluSAE, "gated": GatedSAE, "jumprelu": JumpReluSAE, "topk": TopKSAE}
        extra = {"k": self.k} if self.architecture == "topk" else {}
        try:
            return kinds[self.architecture](*sizes, generator=torch.Generator(), **extra)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.folder} holds settings that do not fit: {error}") from error

    def _check(self) -> None:
        if self.architecture not in OWN_WEIGHTS:
            raise ValueError(
                f"{self.folder}: the architecture must be one of {sorted(OWN_WEIGHTS)}; got "
                f"{self.architecture!r}. (SAELens writes a trained BatchTopK or Matryoshka as "
                "jumprelu: save_inference_model.)"
            )
        needed = {"W_enc", "W_dec", "b_dec", *OWN_WEIGHTS[self.architecture]}
        missing, unknown = needed - self.tensors.keys(), self.tensors.keys() - needed
        if self.architecture == "topk" and self.k is None:
            missing = missing | {"k"}
        if missing or unknown:
            raise ValueError(
                f"{self.folder} does not hold a complete autoencoder: a {self.architecture} one "
                f"lacks {sorted(missing)} and has no use for {sorted(unknown)}. Fetch it anew, or "
                "load it with the library that made it."
            )
        n_latents, d_model = (*self.tensors["W_dec"].shape, 0, 0)[:2]
        for name, values in self.tensors.items():
            shape = {"W_enc": (d_model, n_latents), "W_dec": (n_latents, d_model)}.get(
                name, (d_model,) if name == "b_dec" else (n_latents,)
            )
            if tuple(values.shape) != shape:
                raise ValueError(
                    f"{self.folder}: `{name}` must be of shape {list(shape)}, to fit a `W_dec` of "
                    f"[latents, d_model] = {list(self.tensors['W_dec'].shape)}; got "
                    f"{list(values.shape)}. Transpose or reshape it."
                )
            checks.require_finite(name, values.float(), f"{self.folder} is damaged; fetch it anew.")


def read_config(path: Path) -> dict[str, Any]:
    """Read a JSON object, or say what else the file holds."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # JSON's and UTF-8's errors are both of this kind
        raise ValueError(f"{path} must be JSON in UTF-8; {error}. Fetch it anew.") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object; got {type(config).__name__}.")
    return config


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, or say that it is damaged."""
    try:
        weights: dict[str, Tensor] = load_file(path)
        return weights
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path.parent} does not hold a complete autoencoder ({path.name}: {error}). "
            "Fetch it anew."
        ) from error


def turned(values: Tensor) -> Tensor:
    """A matrix transposed; what is none is left for `Foreign` to refuse."""
    return values.mT if values.dim() == 2 else values


def require_sizes(folder: Path, tensors: dict[str, Tensor], *sizes: Any) -> None:
    """Raise a ValueError if `W_dec` has other sizes [latents, d_model] than a configuration says."""
    shape = list(tensors["W_dec"].shape) if "W_dec" in tensors else list(sizes)
    if any(told not in (None, size) for told, size in zip(sizes, shape, strict=False)):
        raise ValueError(
            f"{folder}: `W_dec` must be [latents, d_model] = {list(sizes)}, as the configuration "
            f"says (`d_sae` or `num_latents`, and `d_in`); got {shape}. Fetch both files anew."
        )


def require_files(folder: Path, *names: str) -> None:
    """Raise a FileNotFoundError that says which file is missing."""
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} must hold {' and '.join(names)}; {name} is missing.")
