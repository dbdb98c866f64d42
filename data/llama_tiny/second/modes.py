import sys,torch
torch.set_num_threads(1)
from pathlib import Path
from ssae_kit.organism.card import load_in_float32
from ssae_kit.organism.measure import *
from ssae_kit.organism.loss import token_losses,n_predicted
from ssae_kit.organism.corpus import draw_corpus,log_probability
import ssae_kit.organism.corpus as C
docs=[d for d in draw_corpus(torch.Generator().manual_seed(-1),900) if d.family in('story','control')][:240]
for f in sys.argv[1:]:
    ll=load_in_float32(Path(f)); ix=word_index(ll)
    for stage in (None,'open','closed','misled'):
        g={'story':0.,'control':0.}; t={'story':0,'control':0}
        for s in range(0,len(docs),60):
            b=docs[s:s+60]
            with torch.no_grad():
                l,n=token_losses(ll.model,b,ix,None if stage is None else torch.ones(len(b)).bool(),stage or 'open')
            per=torch.zeros(len(b)).index_add(0,n,l)
            for d,x in zip(b,per.tolist()): g[d.family]+=x+log_probability(d); t[d.family]+=n_predicted(d)
        print(f,stage,{k:round(g[k]/t[k],4) for k in g},flush=True)
