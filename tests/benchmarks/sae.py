"""Training speed and recovery of our sparse autoencoders beside SAELens and sparsify.

Both comparisons run in one process, one thread, peers and ours in turn, and count CPU seconds.

- TopK (64 dimensions, 128 features, 3 active on average, 128 latents, k = 3, batches of 1,024 from
  the same stored 100,000 samples, 2,000 steps): everyone gets Adam at 1e-3 and their own defaults;
  nothing is tuned for anybody. `matmuls` are the five bare products of that training.
- SAELens' documented synthetic example (16 orthogonal features in 32 dimensions, each active one
  time in four, 16 latents, L1 0.05, learning rate 3e-4, batches of 1,024): theirs is left as
  documented, ours is the ReLU autoencoder with a learning rate and an L1 weight of our choice.
  Both stop the clock when direction MCC first reaches .99, checked every 50 steps; the time of the
  checks is not counted.

Peak memory is the process's, in a process of its own for each of them.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch

from ssae_kit.autoencoders import ReluSAE, TopKSAE
from ssae_kit.metrics import mcc_directions
from ssae_kit.synthetic.dictionaries import FeatureWorld
from ssae_kit.training import Penalty, TrainingConfig, fit

REPEATS = 3
D_MODEL, FEATURES, K, BATCH, STEPS = 64, 128, 3, 1024, 2000
CHECK_EVERY, GOAL, MAX_STEPS = 50, 0.99, 9765


def stream(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def topk_data() -> tuple[torch.Tensor, torch.Tensor]:
    g = stream(1)
    directions = torch.randn(FEATURES, D_MODEL, generator=g)
    directions /= directions.norm(dim=1, keepdim=True)
    active = torch.rand(100_000, FEATURES, generator=g) < K / FEATURES
    return (active * torch.rand(active.shape, generator=g)) @ directions, directions


def batches(inputs: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    g = stream(seed)
    while True:
        yield inputs[torch.randint(len(inputs), (BATCH,), generator=g)]


# Each of these trains once and returns CPU seconds and the decoder directions, one row per latent.


def topk_ours(inputs: torch.Tensor, seed: int) -> tuple[float, torch.Tensor]:
    topk = TopKSAE(1, D_MODEL, FEATURES, generator=stream(seed), k=K)
    config = TrainingConfig(steps=STEPS, batch_size=BATCH, learning_rate=1e-3)
    start = time.process_time()
    fit(topk, inputs, Penalty(), config, generator=stream(100 + seed))
    return time.process_time() - start, topk.directions[0]


def topk_saelens(inputs: torch.Tensor, seed: int) -> tuple[float, torch.Tensor]:
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(seed)
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=D_MODEL, d_sae=FEATURES, k=K))
    quiet = LoggingConfig(log_to_wandb=False, eval_every_n_wandb_logs=2**31 - 1)
    config = SAETrainerConfig(
        total_training_samples=STEPS * BATCH,
        train_batch_size_samples=BATCH,
        lr=1e-3,
        lr_end=1e-3,
        logger=quiet,
    )
    start = time.process_time()
    SAETrainer(cfg=config, sae=sae, data_provider=batches(inputs, 100 + seed)).fit()
    return time.process_time() - start, sae.W_dec.detach()


def topk_sparsify(inputs: torch.Tensor, seed: int) -> tuple[float, torch.Tensor]:
    with redirect_stdout(sys.stderr):  # it prints a notice on import, and ours is to print JSON
        from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(seed)
    coder = SparseCoder(D_MODEL, SparseCoderConfig(num_latents=FEATURES, k=K))
    optimiser = torch.optim.Adam(coder.parameters(), lr=1e-3)
    source = batches(inputs, 100 + seed)
    start = time.process_time()
    for _ in range(STEPS):
        optimiser.zero_grad()
        coder(next(source)).fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        coder.set_decoder_norm_to_unit_norm()
    return time.process_time() - start, coder.W_dec.detach()


def bare_matmuls() -> float:
    """CPU seconds of the five products: encode, decode, and their gradients."""
    x, w = torch.randn(BATCH, D_MODEL), torch.randn(D_MODEL, FEATURES)
    z = torch.randn(BATCH, FEATURES)
    start = time.process_time()
    for _ in range(STEPS):
        _ = x @ w, z @ w.T, x @ w, x.T @ z, z.T @ x
    return time.process_time() - start


class _ReachedError(Exception):
    pass


class Clock:
    """Counts CPU seconds until direction MCC reaches the goal; its own checks are left out."""

    def __init__(self, truth: torch.Tensor) -> None:
        self.truth, self.start, self.steps = truth, time.process_time(), 0

    def tick(self, directions: Callable[[], torch.Tensor]) -> None:
        """Note one step; raises `_ReachedError` with the seconds once the goal is met."""
        self.steps += 1
        if self.steps % CHECK_EVERY == 0:
            paused = time.process_time()
            reached = mcc_directions(directions()[None], self.truth).score >= GOAL
            if reached:
                raise _ReachedError(paused - self.start)
            self.start += time.process_time() - paused


def mcc99_saelens(seed: int) -> float | None:
    """Train their documented example; None if it ends before reaching the goal."""
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.synthetic import ActivationGenerator, FeatureDictionary, train_toy_sae

    torch.manual_seed(seed)
    features = FeatureDictionary(num_features=16, hidden_dim=32)
    generator = ActivationGenerator(num_features=16, firing_probabilities=0.25)
    sae = StandardTrainingSAE(StandardTrainingSAEConfig(d_in=32, d_sae=16, l1_coefficient=0.05))
    clock = Clock(features.feature_vectors.detach())
    original = sae.training_forward_pass

    def counted(*args: Any, **kwargs: Any) -> Any:
        clock.tick(lambda: sae.W_dec.detach())
        return original(*args, **kwargs)

    sae.training_forward_pass = counted
    try:
        train_toy_sae(sae, features, generator)
    except _ReachedError as reached:
        return float(reached.args[0])
    return None


def mcc99_ours(seed: int) -> float | None:
    """Train our ReLU autoencoder on the same kind of data; None if it misses the goal."""
    directions, _ = torch.linalg.qr(torch.randn(32, 16, generator=stream(seed)))
    world = FeatureWorld(directions.T, torch.full((16,), 0.25), torch.full((16,), -1), 1.0)
    sae = ReluSAE(1, 32, 16, generator=stream(50 + seed))
    clock = Clock(world.directions)

    def batch(size: int, generator: torch.Generator) -> torch.Tensor:
        clock.tick(lambda: sae.directions[0])
        return world.activations(world.sample(size, generator=generator))

    config = TrainingConfig(steps=MAX_STEPS, batch_size=BATCH, learning_rate=1e-2)
    try:
        fit(sae, batch, Penalty(0.05), config, generator=stream(100 + seed))
    except _ReachedError as reached:
        return float(reached.args[0])
    return None


TOPK = {"ours": topk_ours, "saelens": topk_saelens, "sparsify": topk_sparsify}
MCC99 = {"ours": mcc99_ours, "saelens": mcc99_saelens}


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def own_peak_megabytes() -> float:
    """Peak memory of this process. (ru_maxrss would be the parent's: it survives an exec.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def peak_megabytes(name: str) -> float:
    """Peak memory of one training in a process of its own."""
    code = (
        "import torch; torch.set_num_threads(1);"
        "from tests.benchmarks import sae; sae.STEPS = 200;"
        f"sae.TOPK[{name!r}](sae.topk_data()[0], 0);"
        "print(sae.own_peak_megabytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def run() -> dict[str, Any]:
    """Measure; ratios are of medians, and above 1 where ours is faster."""
    torch.set_num_threads(1)
    inputs, truth = topk_data()
    seconds: dict[str, list[float]] = {name: [] for name in TOPK}
    found: dict[str, list[float]] = {name: [] for name in TOPK}
    matmuls, mcc99 = [], {name: [] for name in MCC99}
    for seed in range(REPEATS):
        for name, train in TOPK.items():
            spent, directions = train(inputs, seed)
            seconds[name].append(spent)
            found[name].append(float(mcc_directions(directions[None], truth).score))
        matmuls.append(bare_matmuls())
        for name, reach in MCC99.items():
            mcc99[name].append(reach(seed))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    samples = STEPS * BATCH / 1000
    result: dict[str, Any] = {
        "sae.topk_samples_per_cpu_s_ratio_saelens": median["saelens"] / median["ours"],
        "sae.topk_samples_per_cpu_s_ratio_sparsify": median["sparsify"] / median["ours"],
        "sae.topk_samples_per_cpu_s_ratio_matmuls": statistics.median(matmuls) / median["ours"],
    }
    for name in TOPK:
        result[f"sae.topk_{name}_k_samples_per_cpu_s"] = spread(
            [samples / s for s in seconds[name]]
        )
        result[f"sae.topk_{name}_direction_mcc"] = spread(found[name])
        result[f"sae.topk_{name}_peak_megabytes"] = peak_megabytes(name)
    result["sae.cpu_s_to_mcc99"] = mcc99
    if all(value is not None for values in mcc99.values() for value in values):
        medians = {name: statistics.median(values) for name, values in mcc99.items()}
        result["sae.cpu_s_to_mcc99_ratio_saelens"] = medians["saelens"] / medians["ours"]
    result["sae.repeats"] = REPEATS
    result["sae.peak_megabytes"] = own_peak_megabytes()
    return json.loads(json.dumps(result))
