"""rep.py NOTEBOOK: replacements on stdin as JSON list of [old,new] in markdown/code source (unescaped)."""
import json,sys
p=sys.argv[1]; reps=json.load(sys.stdin); nb=json.load(open(p,encoding='utf-8'))
for old,new in reps:
    n=0
    for c in nb['cells']:
        s=''.join(c['source'])
        if old in s:
            n+=s.count(old); c['source']=s.replace(old,new).splitlines(keepends=True)
    assert n==1,(n,old)
json.dump(nb,open(p,'w',encoding='utf-8'),indent=1,ensure_ascii=False); open(p,'a').write('\n')
