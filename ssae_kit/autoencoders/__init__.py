"""Every autoencoder of the kit: one interface, and a leading run axis so that many train at once."""

from ssae_kit.autoencoders.base import Autoencoder, LossTerms, load
from ssae_kit.autoencoders.published import load_published, load_saelens, save_saelens
from ssae_kit.autoencoders.replace import clamp, reconstruct
from ssae_kit.autoencoders.shift import LayerNormShiftAutoencoder, ShiftAutoencoder
from ssae_kit.autoencoders.sparse import GatedSAE, JumpReluSAE, ReluSAE, SparseAutoencoder, TiedSAE
from ssae_kit.autoencoders.topk import BatchTopKSAE, MatryoshkaSAE, TopKSAE
