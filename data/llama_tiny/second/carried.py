import sys,torch,math
torch.set_num_threads(1)
from pathlib import Path
from collections import defaultdict
from ssae_kit.organism import corpus as C
from ssae_kit.organism.loss import token_losses
from ssae_kit.storage import load_tensors
from ssae_kit.organism.train import Trainer,Recipe
from ssae_kit.world.state import draw_state
from ssae_kit.world.lexicon import TEMPLATES,SLOTS
from ssae_kit.world.sentences import *
from ssae_kit.world.stories import *
from ssae_kit.world.documents import Document
_g=C.Draws(torch.Generator().manual_seed(77)); docs=[]; plans=[]
for _ in range(100):
    _s=draw_state(_g); _c=_g.index(12); _p=[draw_plan(_g,_s,_c) for _ in range(3)]
    docs.append(Document('story',tuple(w for q in _p for w in realise(q)),0.,is_cut=True)); plans.append(_p)
SL={'size':'size','listener':'formality','adj':'sentiment','mood':'sentiment','other':'sentiment','man':'formality','colour':'colour','gem':'colour','cloth':'cloth','fabric':'cloth','season':'season','month':'season','time':'tense','noun':'gender/char'}
@torch.no_grad()
def by_concept(tr,stage):
    nll=defaultdict(list)
    for i in range(0,100,25):
        b=docs[i:i+25]
        l,num=token_losses(tr.model,b,tr.index,torch.ones(25).bool(),stage)
        for j in range(25):
            ls=l[num==j].tolist(); k=0
            for si,q in enumerate(plans[i+j]):
                for name in TEMPLATES[q.template]:
                    if si>0 and name in SL: nll[SL[name]].append(ls[k]-(math.log(n_fillers(SLOTS[name])) if name!='noun' else 0))
                    k+=1
    return {k:round(sum(v)/len(v),2) for k,v in sorted(nll.items())}
for p in sys.argv[1:]:
    t,meta=load_tensors(Path(p)); tr=Trainer(Recipe(**{k:v for k,v in meta['recipe'].items() if k in Recipe.__dataclass_fields__})); tr.model.load_state_dict({k[7:]:v for k,v in t.items() if k.startswith('weight.')},strict=False); tr.step=meta['step']
    print(Path(p).name,tr.step,by_concept(tr,'closed'),flush=True)
