"""What every autoencoder shares: the run axis, the scale, unit-norm directions, files.

An input has shape `[run, batch, d_model]`; `[batch, d_model]` gives every run the same batch.
Inputs are divided by one number per run, `scale`, so codes and losses are unitless and comparable
between data sets.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssae_kit import checks
from ssae_kit.storage import load_tensors, save_tensors

FORMAT = "ssae_kit.autoencoder/1"
CHUNK = 65536
"""Inputs looked at together where all of them are."""
Run = TypeVar("Run", bound="Autoencoder")
TOO_LARGE = "What went in is too large for its dtype, or a weight is not finite."


class LossTerms(NamedTuple):
    """What training trades off, one number per run, all unitless."""

    error: Float[Tensor, " run"]
    """Mean squared reconstruction error over the mean squared size of the inputs; 0 is best."""
    sparsity: Float[Tensor, " run"]
    """How much of the code is in use, in the measure the architecture names; smaller is sparser."""
    auxiliary: Float[Tensor, " run"] | float = 0.0
    """What the architecture adds of its own, weight included; counts in training only."""


class Autoencoder(nn.Module):
    """Base of every autoencoder: affine maps to and fro, unit-norm directions, many runs.

    A subclass brings `_encode`, of inputs that `_scaled` has checked and divided by `scale`, and
    `loss`, which begins with `_scaled`. All of its parameters and buffers start with the run axis,
    and `options` names what its constructor needs beyond the sizes. Training, `methods.of_autoencoder`,
    `save` and `load` then take it as they take ours.

    Args:
        n_runs: Independent runs trained side by side, at least 1.
        d_model: Width of the inputs.
        n_latents: Length of the code.
        generator: Source of the initial directions; the encoder starts as their transpose.

    Raises:
        ValueError: if a size is below 1.
        TypeError: if a size is no whole number, or there is no generator.
    """

    options: tuple[str, ...] = ()
    """Names of what the constructor needs beyond the sizes."""
    tied = False
    """Whether the encoder is the decoder's transpose, and no weights of its own."""
    scale: Tensor
    """Size of a typical input, `[run]`."""

    def __init__(
        self, n_runs: int, d_model: int, n_latents: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = {"n_runs": n_runs, "d_model": d_model, "n_latents": n_latents}
        self.n_runs, self.d_model, self.n_latents = (checks.whole(*size) for size in sizes.items())
        checks.require_generator(generator)
        directions = torch.randn(n_runs, d_model, n_latents, generator=generator)
        self.decoder = nn.Parameter(directions / directions.norm(dim=1, keepdim=True))
        self.decoder_bias = nn.Parameter(torch.zeros(n_runs, d_model))
        if not self.tied:
            self.encoder = nn.Parameter(self.decoder.detach().mT.contiguous())
        self.encoder_bias = nn.Parameter(torch.zeros(n_runs, n_latents))
        self.register_buffer("scale", torch.ones(n_runs))

    @property
    def settings(self) -> dict[str, Any]:
        """What the constructor needs beyond the sizes; JSON can hold it."""
        return {name: getattr(self, name) for name in self.options}

    @property
    def directions(self) -> Float[Tensor, "run latents d_model"]:
        """Decoder directions, unit norm, one row per latent."""
        return self.decoder.detach().mT

    @property
    def dead(self) -> Bool[Tensor, "run latents"]:
        """Latents that no recent training input has made fire. Here: none."""
        shape = (self.n_runs, self.n_latents)
        return torch.zeros(shape, dtype=torch.bool, device=self.decoder.device)

    def encode(self, inputs: Float[Tensor, "*run batch d_model"]) -> Float[Tensor, "run batch k"]:
        """Return codes, in units of `scale`.

        Raises:
            ValueError: if the inputs are of another shape or not finite, or the codes are not.
        """
        codes = self._encode(self._scaled(inputs))
        checks.require_finite("codes", codes, TOO_LARGE)
        return codes

    def decode(self, codes: Float[Tensor, "run batch k"]) -> Float[Tensor, "run batch d_model"]:
        """Return reconstructions, in the units of the inputs.

        Raises:
            ValueError: if the codes are of another shape or not finite, or the result is not.
        """
        codes = self._checked("codes", codes, self.n_latents)
        decoded = self._decode(codes.expand(self.n_runs, -1, -1)) * self.scale[:, None, None]
        checks.require_finite("decoded", decoded, TOO_LARGE)
        return decoded

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error and sparsity of a batch, per run."""
        raise NotImplementedError(f"a {type(self).__name__} must bring a `loss` of its own")

    def _encode(self, scaled: Tensor) -> Tensor:
        raise NotImplementedError(f"a {type(self).__name__} must bring an `_encode` of its own")

    def _decode(self, codes: Tensor) -> Tensor:
        return torch.baddbmm(self.decoder_bias[:, None], codes, self.decoder.mT)

    def _scaled(self, inputs: Tensor) -> Tensor:
        """Every public door's way in: checked inputs, `[run, batch, d_model]`, without units."""
        inputs = self._checked("inputs", inputs, self.d_model)
        return (inputs / self.scale[:, None, None]).expand(self.n_runs, -1, -1)

    def _checked(self, name: str, given: Any, width: int) -> Tensor:
        """Return finite values like the weights in dtype and device, for all runs or for each."""
        (values,) = checks.tensors(**{name: (given, "*run batch d")})
        if values.shape[-1] != width or values.shape[:-2] not in ((), (1,), (self.n_runs,)):
            raise ValueError(
                f"`{name}` must be of shape [batch, {width}] or [{self.n_runs}, batch, {width}] "
                f"(runs, batch, width), as this autoencoder is; got {list(values.shape)}."
            )
        return values.to(self.decoder)

    @torch.no_grad()
    def calibrate_(self, inputs: Float[Tensor, "*run samples d_model"]) -> None:
        """Set `scale` from the training inputs, in place.

        Raises:
            ValueError: if the inputs are of another shape or not finite, or every one is zero.
        """
        mean, variance = self._moments(inputs)
        scale = (mean.square().sum(-1) + variance).sqrt()
        if not (scale > 0).all():
            raise ValueError(
                "some input must not be zero, but every input is zero: source and target do not "
                "differ. Check how they were collected."
            )
        self.scale.copy_(scale.expand(self.n_runs))

    def _moments(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean `[*run, d_model]` and mean squared distance from it `[*run]`, in double precision.

        In chunks, so that a mapped file is not copied, and in double: the squares of float16 inputs
        of ordinary size overflow, and those of float32 inputs of 1e20. (MPS has no double.)
        """
        inputs = checks.real("inputs", inputs)
        if inputs.dim() < 2 or not inputs.numel():
            (inputs,) = checks.tensors(inputs=(inputs, "*run samples d_model"))
        device = self.decoder.device
        kind, n_samples = checks.widest(device), inputs.shape[-2]
        total = torch.zeros((), dtype=kind, device=device)
        for part in inputs.split(CHUNK, -2):
            total = total + self._checked("inputs", part, self.d_model).to(kind).sum(-2)
        mean, spread = total / n_samples, torch.zeros_like(total[..., 0])
        for part in inputs.split(CHUNK, -2):
            spread += (part.to(device).to(kind) - mean[..., None, :]).square().sum((-2, -1))
        return mean, spread / n_samples

    @torch.no_grad()
    def project_gradients_(self) -> None:
        """Drop the part of the decoder's gradient that would only change a direction's length.

        The projection below would undo that part after the step, but the optimiser's running
        averages would still be steered by it.
        """
        gradient = self.decoder.grad
        if gradient is not None:
            along = (gradient * self.decoder).sum(1, keepdim=True)
            gradient.addcmul_(along, self.decoder, value=-1)

    @torch.no_grad()
    def project_(self) -> None:
        """Rescale every decoder direction to unit norm, in place."""
        self.decoder.div_(self.decoder.norm(dim=1, keepdim=True).clamp_min(1e-12))

    def select(self: Run, run: int) -> Run:
        """Return a copy that holds one run only.

        Raises:
            ValueError: if there is no such run; negative numbers count from the last.
        """
        n = self.n_runs
        run = checks.whole("run", run, -n, n - 1, ", the runs there are") % n
        sizes = (1, self.d_model, self.n_latents)
        chosen = type(self)(*sizes, generator=torch.Generator(), **self.settings).to(self.decoder)
        state = {name: value[run : run + 1] for name, value in self.state_dict().items()}
        chosen.load_state_dict(state)
        return chosen

    def require_one_run(self) -> None:
        """Raise a ValueError if there is more than one run."""
        if self.n_runs != 1:
            raise ValueError(
                f"one run is required; got {self.n_runs}. Use `autoencoder.select(run)`."
            )

    def save(self, path: str | Path) -> None:
        """Write the weights to a safetensors file, atomically.

        Raises:
            OSError: if the file cannot be written; an older file stays as it was.
        """
        metadata = {"format": FORMAT, "class": type(self).__name__, "settings": self.settings}
        save_tensors(path, self.state_dict(), metadata)


def load(path: str | Path) -> Any:
    """Read an autoencoder that `save` wrote, whatever its class; yours too, once it is defined.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, not an autoencoder of this version, or a weight is not
            finite.
    """
    tensors, metadata = load_tensors(path)
    told = metadata if isinstance(metadata, dict) else {"format": metadata}
    if told.get("format") != FORMAT:
        raise ValueError(
            f"{path} must hold an autoencoder in format {FORMAT!r}; its format is "
            f"{told.get('format')!r}. Save it anew with this version of the kit."
        )
    name = str(told.get("class"))
    # The kit's own come last: one of yours that is called alike does not read the kit's files.
    known = sorted(
        _architectures(Autoencoder), key=lambda one: one.__module__.startswith("ssae_kit.")
    )
    kind = {one.__name__: one for one in known}.get(name)
    if kind is None:
        raise ValueError(
            f"{path} holds a {name!r}, an architecture that is not known here. Update the kit, or "
            "import the module that defines it."
        )
    sizes = tensors["decoder"].shape if "decoder" in tensors else ()
    try:
        autoencoder = kind(*sizes, generator=torch.Generator(), **told.get("settings", {}))
        autoencoder.to(tensors["decoder"].dtype).load_state_dict(tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} must hold the settings and weights of a {name}; they do not fit: {error}. "
            "Save it anew with this version of the kit."
        ) from error
    for weights, values in tensors.items():
        checks.require_finite(weights, values, f"{path} is damaged or diverged: fetch it anew.")
    checks.require("scale", autoencoder.scale, "above 0", lambda scale: (scale > 0).all())
    return autoencoder


def _architectures(kind: type[Autoencoder]) -> Iterator[type[Autoencoder]]:
    """Every class made so far; of two with one name the later one comes last."""
    yield kind
    for further in kind.__subclasses__():
        yield from _architectures(further)
