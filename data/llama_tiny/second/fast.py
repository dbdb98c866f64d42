"""organism train, with the pointwise parts compiled: same recipe, other last digits."""
import sys, torch
torch.set_num_threads(1)
import transformers.models.llama.modeling_llama as ml
from ssae_kit.organism import train as T
import torch._dynamo
torch._dynamo.config.cache_size_limit = 64
torch._dynamo.config.recompile_limit = 64
ml.apply_rotary_pos_emb = torch.compile(ml.apply_rotary_pos_emb, dynamic=True)
init = T.Trainer.__init__
def fast(self, *a, **k):
    init(self, *a, **k)
    for l in self.model.model.layers:
        for m in (l.mlp, l.input_layernorm, l.post_attention_layernorm):
            m.forward = torch.compile(m.forward, dynamic=True)
T.Trainer.__init__ = fast
from ssae_kit.organism.__main__ import main
main()
