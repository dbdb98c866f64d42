import sys,torch
torch.set_num_threads(1)
from pathlib import Path
from ssae_kit.organism.steer import *
from ssae_kit.organism.measure import *
from ssae_kit.organism.card import load_in_float32
ll=load_in_float32(Path(sys.argv[1])); parts=sys.argv[2].split(',') if len(sys.argv)>2 else ['steer','demand','attr','probe','answers','excess']
F=dict(steer=lambda l: steering_figures(l)[0],demand=control_figures,attr=attribute_figures,probe=probe_figures,answers=answer_figures,excess=excess_figures)
for p in parts:
    for f in F[p](ll): print(f.name,round(f.value,4),'' if f.passed is None else ('ok' if f.passed else 'FAIL'),flush=True)
