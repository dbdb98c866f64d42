"""exp.py NAME seed n_documents lr n_total decay_from open_steps share_open share_closed share_end end_from [start_checkpoint]"""
import sys,torch,json,time
torch.set_num_threads(1)
from pathlib import Path
from dataclasses import replace
from ssae_kit.organism import train as T
from ssae_kit.organism import corpus as C
from ssae_kit.organism.loss import *
from ssae_kit.organism.loss import token_losses
a=dict(x.split('=') for x in sys.argv[1:])
name=a['name']; out=Path('/tmp/mine2/runs')/name; out.mkdir(parents=True,exist_ok=True)
nd=int(a.get('nd',44)); lr=float(a.get('lr',2e-3)); n=int(a['n']); dec=int(a.get('dec',n*2//3))
op=int(a.get('open',1000)); s1=float(a.get('s1',1.0)); s2=float(a.get('s2',1.0)); s3=float(a.get('s3',s2)); e=int(a.get('end',n))
if 'mix' in a:
    for kv in a['mix'].split(','):
        k,v=kv.split(':'); C.MIXTURE[k]=float(v)
R=T.Recipe(seed=int(a.get('seed',1)),n_steps=n,n_documents=nd,learning_rate=lr,n_open_steps=op,masked_share=s1,closed_share=s2)
tr=T.Trainer(R)
shift=int(a.get('seedshift',0))
tr._rate=lambda: lr*max(.02,min(1,(tr.step+1)/50,(n-tr.step)/(n-dec)))
def share():
    return s1 if tr.step<op else (s2 if tr.step<e else s3)
STR=int(a.get('str',10**9))
def step():
    g=torch.Generator().manual_seed(R.seed*10**9+tr.step)
    docs=C.draw_corpus(g,nd)
    closed=tr.step>=op
    m=torch.rand(len(docs),generator=g)<share()
    losses,_=token_losses(tr.model,docs,tr.index,m,'misled' if tr.step>=STR else 'closed' if closed else 'open')
    loss=losses.mean()
    for o in tr.optimisers:
        o.zero_grad(set_to_none=True)
        for gr in o.param_groups: gr['lr']=tr._rate()
    loss.backward(); torch.nn.utils.clip_grad_norm_(tr.model.parameters(),1.0)
    for o in tr.optimisers: o.step()
    tr.step+=1; tr.tokens+=len(losses)
val=C.draw_corpus(torch.Generator().manual_seed(-1),400)
told=[d for d in val if d.family in ('story','control')]
@torch.no_grad()
def masked_gap(closed):
    tot={'story':0.,'control':0.}; nt={'story':0,'control':0}
    for s in range(0,len(told),50):
        b=told[s:s+50]
        l,num=token_losses(tr.model,b,tr.index,torch.ones(len(b)).bool(),'closed' if closed else 'open')
        per=torch.zeros(len(b)).index_add(0,num,l)
        for d,x in zip(b,per.tolist()):
            tot[d.family]+=x+C.log_probability(d); nt[d.family]+=n_predicted(d)
    return {k:round(tot[k]/max(1,nt[k]),4) for k in tot}
from ssae_kit.world.stories import *
from ssae_kit.world.state import draw_state
from ssae_kit.world.lexicon import TEMPLATES,SLOTS
from ssae_kit.world.sentences import *
from ssae_kit.world.documents import Document
from collections import defaultdict
import math
_g=C.Draws(torch.Generator().manual_seed(77)); _docs=[]; _plans=[]
for _ in range(100):
    _s=draw_state(_g); _c=_g.index(12); _p=[draw_plan(_g,_s,_c) for _ in range(3)]
    _docs.append(Document('story',tuple(w for q in _p for w in realise(q)),0.,is_cut=True)); _plans.append(_p)
SL={'size':'size','listener':'formality','adj':'sentiment','mood':'sentiment','other':'sentiment','man':'formality','colour':'colour','gem':'colour','cloth':'cloth','fabric':'cloth','season':'season','month':'season','time':'tense','noun':'gender/char'}
@torch.no_grad()
def by_concept(stage):
    nll=defaultdict(list)
    for i in range(0,100,25):
        b=_docs[i:i+25]
        l,num=token_losses(tr.model,b,tr.index,torch.ones(25).bool(),stage)
        for j in range(25):
            ls=l[num==j].tolist(); k=0
            for si,q in enumerate(_plans[i+j]):
                for name in TEMPLATES[q.template]:
                    if si>0 and name in SL: nll[SL[name]].append(ls[k]-(math.log(n_fillers(SLOTS[name])) if name!='noun' else 0))
                    k+=1
    return {k:round(sum(v)/len(v),2) for k,v in nll.items()}
ck=out/'last.safetensors'
if 'model' in a:
    from ssae_kit.llama.load import load
    made=load(Path(a['model']),dtype=torch.float32); tr.model.load_state_dict(made.model.state_dict())
elif 'from' in a: 
    old=T.Trainer.resume
    src=Path(a['from'])
    from ssae_kit.storage import load_tensors
    t,meta=load_tensors(src)
    tr.recipe=T.Recipe(**meta['recipe']); tr.resume(src); tr.recipe=R
elif ck.exists(): tr.resume(ck)
t0=time.process_time()
log=open(out/'log','a')
while tr.step<n:
    step()
    if tr.step%int(a.get('every',200))==0 or tr.step==n:
        ex=tr.excess(val); mg=masked_gap(tr.step>=op)
        print(tr.step,round((time.process_time()-t0)/60,1),'min plain',{k[:7]:round(v,3) for k,v in ex.items()},'masked',mg,by_concept('open'),by_concept('closed'),file=log,flush=True)
        tr.save(ck)
        if tr.step in (e,dec,STR) : tr.save(out/f's{tr.step}.safetensors')
from ssae_kit.llama.create import *
from ssae_kit.world.text import WORD_PATTERN
import shutil
f=out/'model'
if f.exists(): shutil.rmtree(f)
save_llama(tr.model,create_tokenizer(tr.words,WORD_PATTERN),f,{"training.json":json.dumps({"recipe":{"seed":R.seed,"n_steps":n},"tokens":tr.tokens})})
