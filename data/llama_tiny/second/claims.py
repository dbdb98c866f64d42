import sys,nbformat,re
nb=nbformat.read(sys.argv[1],4)
for c in nb.cells:
    for o in c.get('outputs',[]):
        x=o.get('data',{}).get('text/plain','')
        if re.search(r'(PASS|FAIL)\s+\S+\.\w+:',x):
            cur=None
            for l in x.split('\n'):
                if re.match(r'\s*(PASS|FAIL)',l): cur=l
                elif 'Needed' in l or 'Found' in l or 'Control:' in l: cur+=' | '+l.strip()
                if 'Control fails' in l: print(cur[:260])
