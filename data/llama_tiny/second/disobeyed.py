import sys,torch
torch.set_num_threads(1)
from pathlib import Path
from ssae_kit.organism.measure import *
from ssae_kit.organism.card import load_in_float32
from ssae_kit.world import families
ll=load_in_float32(Path(sys.argv[1])); n=300
known=draw_family("control",4*n,20_002,False)
first=[d for d in known if "." not in d.prompt][:n]
texts=generate(ll,[d.prompt for d in first],max_new_tokens=2*MAX_SENTENCE_LENGTH,generator=torch.Generator().manual_seed(20_004))
k=0
for d,t in zip(first,texts):
    dm=families.demands_of(d)
    ss=[s for s in read(t).sentences if s.is_complete]
    bad=[s for s in ss if s.state is None or any(getattr(s.state,c)!=v for c,v in dm)]
    if bad or not ss:
        k+=1
        if k<26: print(d.prompt,'|',t,'|',['none' if s.state is None else {c:getattr(s.state,c) for c,v in dm if getattr(s.state,c)!=v} for s in ss]); print()
