import json,sys
nb=json.load(open(sys.argv[1])); rng=sys.argv[2:] 
cells=nb['cells']
sel=set()
for r in rng:
    a,b=(r.split('-')+[r])[:2]; sel|=set(range(int(a),int(b)+1))
for i,c in enumerate(cells):
    if sel and i not in sel: continue
    print(f'--- {i} {c["cell_type"]}')
    if c['cell_type']=='markdown' : print(''.join(c['source'])[:300]); continue
    for o in c.get('outputs',[]):
        if o['output_type']=='stream': print('S>',''.join(o['text'])[:1500])
        elif 'data' in o:
            d=o['data']
            for k in ('text/markdown','text/plain'):
                if k in d:
                    print(k[5:]+'>',''.join(d[k])[:2500]); break
        elif o['output_type']=='error': print('ERR',o['ename'],o['evalue'][:500])
