import sys,torch,collections
torch.set_num_threads(1)
from pathlib import Path
from ssae_kit.organism.measure import *
from ssae_kit.organism.card import load_in_float32
from ssae_kit.world import families
ll=load_in_float32(Path(sys.argv[1])); n=700; T=float(sys.argv[2])
docs=[d for d in draw_family("control",4*n,20_002,True) if "." not in d.prompt][:n]
texts=generate(ll,[d.prompt for d in docs],max_new_tokens=2*MAX_SENTENCE_LENGTH,temperature=T,generator=torch.Generator().manual_seed(20_004))
tot=collections.Counter();bad=collections.Counter();which=collections.Counter();none=0
for d,t in zip(docs,texts):
    dm=families.demands_of(d)
    key=tuple(sorted(dm)); 
    ss=[s for s in read(t).sentences if s.is_complete]
    tot[key]+=1
    if any(s.state is None for s in ss) or not ss: none+=1; continue
    w={(c,v) for s in ss for c,v in dm if getattr(s.state,c)!=v}
    if w: bad[key]+=1
    for x in w: which[(key,x)]+=1
print('none',none/n,'ignored',sum(bad.values())/n)
for k in sorted(tot,key=lambda k:-bad[k]/tot[k]): print(k,tot[k],round(bad[k]/tot[k],2),{x:c for (kk,x),c in which.items() if kk==k})
