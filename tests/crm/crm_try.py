import sqlite3,glob,hashlib,unicodedata,time,sys
def mk():
    db=sqlite3.connect(':memory:',isolation_level=None)
    def sid(*a):
        h=hashlib.sha256()
        for x in a:
            b=x if isinstance(x,bytes) else str(x).encode()
            h.update(len(b).to_bytes(4,'big')+b)
        return h.digest()[:16]
    db.create_function('satchel_id',-1,sid,deterministic=True)
    db.create_function('fold',1,lambda t:None if t is None else ''.join(c for c in unicodedata.normalize('NFD',str(t).casefold()) if not unicodedata.combining(c)),deterministic=True)
    g=lambda f:(lambda ms:None if ms is None else time.strftime(f,time.gmtime(ms//1000)))
    db.create_function('day_of',1,g('%Y-%m-%d'),deterministic=True)
    db.create_function('month_of',1,g('%Y-%m'),deterministic=True)
    db.create_function('satchel_now',0,lambda:NOW)
    db.execute("CREATE TABLE satchel_table(name PRIMARY KEY,mode,wins,key)")
    db.execute("CREATE TABLE satchel_rule(tbl,col,rule,PRIMARY KEY(tbl,col))")
    for f in sorted(glob.glob(__import__('os').path.join(__import__('os').path.dirname(__import__('os').path.abspath(__file__)), '../../server/crm/0*.sql')),key=lambda f:(f.split('/')[-1][:3],'.data' in f)):
        try: db.executescript(open(f).read())
        except Exception as e: sys.exit(f'{f}: {e}')
    return db
NOW=1795370000000
if __name__=='__main__':
    db=mk(); print(db.execute("select count(*) from satchel_table").fetchone(), sqlite3.sqlite_version)
    for (v,) in db.execute("select name from sqlite_master where type='view' order by name"):
        c=db.execute(f'select * from "{v}"'); print(v,[d[0] for d in c.description],len(c.fetchall()))
