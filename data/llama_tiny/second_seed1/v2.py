import sys,torch
from pathlib import Path
from ssae_kit.organism.train import *
torch.set_num_threads(1)
seed=int(sys.argv[1]); out=Path(sys.argv[2])
def rep(p): print(p.step,round(p.seconds),p.tokens,{k:round(v,3) for k,v in p.excess.items()},flush=True)
train(Recipe(seed=seed,n_steps=3600,n_first_steps=2100,n_open_steps=1000,n_documents=44,learning_rate=2e-3),out,rep)
