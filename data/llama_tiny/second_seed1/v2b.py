import sys,torch
from pathlib import Path
from ssae_kit.organism import train as T
from ssae_kit.llama.load import load
torch.set_num_threads(1)
start,out=Path(sys.argv[1]),Path(sys.argv[2])
made=load(start,dtype=torch.float32)
old=T.Trainer.__init__
def init(self,recipe,device="cpu"):
    old(self,recipe,device)
    assert made.tokenizer.get_vocab().get("." )==self.index["."]
    self.model.load_state_dict(made.model.state_dict())
T.Trainer.__init__=init
def rep(p): print(p.step,round(p.seconds),p.tokens,{k:round(v,3) for k,v in p.excess.items()},flush=True)
T.train(T.Recipe(seed=101,n_steps=1700,n_first_steps=0,n_open_steps=0,n_documents=44,learning_rate=2.5e-3),out,rep)
