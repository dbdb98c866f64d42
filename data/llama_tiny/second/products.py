import sys,torch,itertools
torch.set_num_threads(1)
from pathlib import Path
from ssae_kit.organism.train import *
from ssae_kit.organism.steer import *
from ssae_kit.organism.measure import *
from ssae_kit.storage import load_tensors
from ssae_kit.world.prompts import prompts
from ssae_kit.world.text import split_words
n=2400
texts,values=prompts(n,torch.Generator().manual_seed(50))
Y=2.*values-1
names=[];cols=[]
for d in (1,2):
    for s in itertools.combinations(range(7),d):
        names.append('x'.join(CONCEPTS[i][:4] for i in s)); cols.append(Y[:,list(s)].prod(1))
X=torch.stack(cols,1)
for p in sys.argv[1:]:
    t,meta=load_tensors(Path(p)); tr=Trainer(Recipe(**{k:v for k,v in meta['recipe'].items() if k in Recipe.__dataclass_fields__}))
    tr.model.load_state_dict({k[7:]:v for k,v in t.items() if k.startswith('weight.')},strict=False)
    H=[]
    for s in range(0,n,200):
        rows=[[0,*(tr.index[w] for w in split_words(x))] for x in texts[s:s+200]]
        L=max(map(len,rows)); ids=torch.tensor([r+[2]*(L-len(r)) for r in rows]); last=torch.tensor([len(r)-1 for r in rows])
        with torch.no_grad(): h=tr.model(ids,output_hidden_states=True).hidden_states[3]
        H.append(h[torch.arange(len(rows)),last])
    H=torch.cat(H); H=H-H.mean(0)
    C=(X.T@H)/n
    noise=float((H.pow(2).mean(0)/n).sum()); var=(C.pow(2).sum(1)-noise)/float(H.pow(2).sum(1).mean())
    print(Path(p).name,meta['step'],{names[i]:round(float(var[i]),3) for i in var.argsort(descending=True)[:12]},flush=True)
