import sys,torch
torch.set_num_threads(1)
from pathlib import Path
from ssae_kit.organism.steer import *
from ssae_kit.organism.card import load_in_float32
from ssae_kit.organism.corpus import *
from ssae_kit.organism.gist import *
from ssae_kit.organism.loss import _additive
from ssae_kit.world.parse import read
from ssae_kit.world.text import split_words, join_words
ll=load_in_float32(Path(sys.argv[1])); concepts=sys.argv[2].split(',')
D=learned_directions(ll)
index=ll.tokenizer.get_vocab(); inv={i:w for w,i in index.items()}
ends=tuple(index[m] for m in SENTENCE_ENDS if m in index)
model=ll.model
@torch.no_grad()
def go(ids_list,vecs,which,masked,n_new):
    out=[]
    for ids,v in zip(ids_list,vecs):
        ids=list(ids); n0=len(ids)
        dots=[i for i,t in enumerate(ids) if t==index['.']]
        at=dots if which=='all' else dots[-1:] if which=='last' else []
        def hook(m,i,o):
            h=o[0] if isinstance(o,tuple) else o
            h=h.clone(); h[:,at]+=v
            return (h,*o[1:]) if isinstance(o,tuple) else h
        hd=model.model.layers[2].register_forward_hook(hook)
        for _ in range(n_new):
            r=Rows([ids],[True],500)
            lo,up=attention_masks(r,torch.tensor([masked]),ends,True)
            with lower_blocks_see(model,_additive(lo)):
                h=model.model(input_ids=r.ids,attention_mask=_additive(up),position_ids=r.positions).last_hidden_state
            t=int(model.lm_head(h[0,-1]).argmax()); ids.append(t)
            if t==index['.'] or t==END: break
        hd.remove()
        out.append(join_words([inv[t] for t in ids[n0:]]))
    return out
n=30
for c in concepts:
    k=CONCEPTS.index(c)
    for ns in (2,):
        texts,values=prompts(n,torch.Generator().manual_seed(5),n_sentences=ns)
        sign=(1-2*values[:,k]).float()[:,None]
        ids=[[BEGIN,*(index[w] for w in split_words(t))] for t in texts]
        for which in ("last",):
            for masked in (False,True):
                for s in (1.5,):
                    o=go(ids,s*sign*D[k],which,masked,30)
                    fl=[]
                    for t,row in zip(o,values.tolist()):
                        ws=[w.values[c]!=row[k] for q in read(t).sentences for w in q.words if c in w.values]
                        fl.append(sum(ws)/max(1,len(ws)))
                    print(c,'sentences',ns,'edit',which,'masked' if masked else 'plain',round(sum(fl)/n,2),flush=True)
