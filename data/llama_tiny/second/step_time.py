import time,torch
from ssae_kit.organism.train import *
r=Recipe(seed=7); tr=Trainer(r); print(torch.get_num_threads())
total=0
for at,n in ((100,1000),(1500,1800),(3000,1400),(4500,1600)):
    tr.step=at
    for _ in range(3): tr.train_step()
    t=time.monotonic(); c=time.process_time()
    for _ in range(12): tr.train_step()
    dt=(time.monotonic()-t)/12; print(at,round(dt,3),round((time.process_time()-c)/12,3)); total+=dt*n
print('minutes',total/60)
