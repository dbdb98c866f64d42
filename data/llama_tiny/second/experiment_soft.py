import sys
src=open('/tmp/mine2/exp2.py').read()
src=src.replace("def step():","""from ssae_kit.organism.loss import _additive, lower_blocks_see, attention_masks, SENTENCE_ENDS, TOLD, ROW_LENGTH
from ssae_kit.organism.corpus import Rows, encode
from ssae_kit.world.sentences import realise, n_fillers
from ssae_kit.world.lexicon import TEMPLATES,SLOTS
from ssae_kit.world.stories import sample_story, log_probability_of_story
from ssae_kit.world.documents import Document
from ssae_kit.world.sentences import Plan
from dataclasses import replace as rpl
import torch.nn.functional as F
SOFT=int(a.get('soft',0)); K=6
def story_doc(draws):
    st=sample_story(draws); soft=[]
    for plan in st.sentences:
        words=realise(plan); names=TEMPLATES[plan.template]
        for i,(nm,f) in enumerate(zip(names,plan.fillers)):
            alts=[words[i]]
            n=n_fillers(SLOTS[nm])
            if SOFT and nm!='noun' and n>1:
                for k in range(n):
                    if k==f: continue
                    w2=realise(Plan(plan.state,plan.character,plan.template,(*plan.fillers[:i],k,*plan.fillers[i+1:])))
                    if w2[:i]==words[:i]: alts.append(w2[i])
            soft.append(alts)
    return Document('story',st.words,0.,is_cut=st.is_cut),soft
def corpus(g,n):
    docs=[];softs=[]
    for _ in range(n):
        dr=C.Draws(g); fam=C._draw_family(dr)
        if fam=='story': d,s=story_doc(dr)
        else: d,s=C.draw_document(dr,fam),None
        docs.append(d); softs.append(s)
    return docs,softs
def soft_losses(model,docs,softs,index,m,stage):
    told=[d.family in TOLD for d in docs]
    rows=Rows([encode(d,index) for d in docs],told,ROW_LENGTH)
    lo,up=attention_masks(rows,m,tuple(index[x] for x in SENTENCE_ENDS),stage)
    with lower_blocks_see(model,_additive(lo)):
        h=model.model(input_ids=rows.ids,attention_mask=_additive(up),position_ids=rows.positions).last_hidden_state
    number=rows.document[:,1:]; pred=(number>=0)&(number==rows.document[:,:-1])
    ng=torch.tensor([d.n_given for d in docs]); pred&=rows.positions[:,1:]>ng[number.clamp(min=0)]
    logp=model.lm_head(h[:,:-1][pred]).log_softmax(-1)
    ids=rows.ids[:,1:][pred]; num=number[pred].tolist(); pos=rows.positions[:,1:][pred].tolist()
    T_=ids[:,None].repeat(1,K); P=torch.zeros(len(ids),K); P[:,0]=1
    for r,(d,p) in enumerate(zip(num,pos)):
        s=softs[d]
        if s is not None and p-1<len(s) and len(s[p-1])>1:
            al=s[p-1][:K]; 
            for j,w in enumerate(al): T_[r,j]=index[w]
            P[r,:len(al)]=1/len(al)
    return -(logp.gather(1,T_)*P).sum(1)
def step():""")
src=src.replace("docs=C.draw_corpus(g,nd)\n","docs,softs=corpus(g,nd)\n").replace("losses,_=token_losses(tr.model,docs,tr.index,m,'misled' if tr.step>=STR else 'closed' if closed else 'open')","losses=soft_losses(tr.model,docs,softs,tr.index,m,'misled' if tr.step>=STR else 'closed' if closed else 'open')")
exec(compile(src,'exp3','exec'))
