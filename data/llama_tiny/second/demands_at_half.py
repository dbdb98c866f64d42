import sys,torch
torch.set_num_threads(1)
from pathlib import Path
import ssae_kit.organism.measure as M
from ssae_kit.organism.card import load_in_float32
g=M.generate
M.generate=lambda *a,**k: g(*a,**k,temperature=.5)
for f in M.control_figures(load_in_float32(Path(sys.argv[1])),200): print(Path(sys.argv[1]).name,'T=.5',f.name,round(f.value,3),flush=True)
