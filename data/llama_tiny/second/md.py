import json,sys,re
nb=json.load(open(sys.argv[1])); pat=re.compile(sys.argv[2]) if len(sys.argv)>2 else None
for i,c in enumerate(nb['cells']):
    if c['cell_type']=='markdown':
        s=''.join(c['source'])
        if pat is None or pat.search(s): print(f'[{i}]',s,'\n')
