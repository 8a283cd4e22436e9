"""Runs each automation by hand: a small engine over sqlite3 that fires rules by the contract, rounds up to 8."""
import sys,re; import os; sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import crm_try
DAY=86400000; T=1795370000000
class E:
    def __init__(s):
        s.db=crm_try.mk(); s.at=T; s.stamp=T; s.user=None
        s.db.execute("CREATE TABLE automation(name TEXT PRIMARY KEY, tbl TEXT, event TEXT, columns TEXT, condition TEXT, every TEXT, actions TEXT, overwrites INTEGER DEFAULT 0, about TEXT)")
        s.db.executescript(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../server/crm/automation.sql')).read())
        s.rules=[dict(zip(('name','tbl','event','columns','condition','every','actions'),r)) for r in s.db.execute('select name,tbl,event,columns,condition,every,actions from automation order by rowid')]
        s.fired={}; s.tables=[r[0] for r in s.db.execute('select name from satchel_table')]
        s.cols={t:[r[1] for r in s.db.execute(f'pragma table_info({t})')] for t in s.tables}
        s.pk={t:[r[1] for r in sorted(s.db.execute(f'pragma table_info({t})'),key=lambda r:r[5]) if r[5]] for t in s.tables}
        for r in s.rules:
            if r['tbl']:
                assert r['tbl'] in s.tables, r
                for c in (r['columns'] or '').split(','): assert not c or c in s.cols[r['tbl']], (r['name'],c)
            else: assert r['every']
        s.order=[]
        for t in s.tables:
            for op,a,b in (('insert','new',None),('update','new','old'),('delete','old','old')):
                k=lambda x:"json_array("+",".join(f"quote({x}.\"{c}\")" for c in s.cols[t])+")"
                s.db.execute(f"CREATE TEMP TRIGGER cap_{t}_{op} AFTER {op} ON main.{t} BEGIN SELECT capture('{t}','{op}',{k(a)},{k(b) if b else 'NULL'}); END")
        s.db.create_function('capture',4,lambda *a:s.order.append(a))
    def vals(s,j):
        import json; return json.loads(j)
    def one(s,sql,*a):
        r=s.db.execute(sql,a).fetchone(); return r[0] if r and len(r)==1 else r
    def all(s,sql,*a): return s.db.execute(sql,a).fetchall()
    def tmp(s,name,t,j):
        s.db.execute(f"DROP TABLE IF EXISTS temp.{name}")
        if t: s.db.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM main.{t} WHERE 0")
        else: s.db.execute(f"CREATE TEMP TABLE {name}(id)")
        if j: s.db.execute(f"INSERT INTO temp.{name} VALUES({','.join(s.vals(j))})")
    def stmts(s,text):
        import sqlite3; out=[];cur=''
        for part in text.split(';'):
            cur+=part
            if sqlite3.complete_statement(cur+';'): out.append(cur); cur=''
            else: cur+=';'
        return [x for x in out if x.strip()]
    def ev(s):
        s.db.execute("DROP TABLE IF EXISTS temp.event"); s.db.execute('CREATE TEMP TABLE event(seq INTEGER,at_ms INTEGER,stamp_ms INTEGER,author INTEGER,"user" BLOB,device TEXT)')
        s.db.execute("INSERT INTO temp.event VALUES(1,?,?,0,?,NULL)",(s.at,s.stamp,s.user))
    def act(s,r):
        s.db.execute('SAVEPOINT a'); n=len(s.order)
        try:
            for q in s.stmts(r['actions']): s.db.execute(q)
        except Exception as e:
            s.db.execute('ROLLBACK TO a'); del s.order[n:]; raise Exception(r['name']+': '+str(e))
        finally: s.db.execute('RELEASE a')
        if len(s.order)>n: s.fired[r['name']]=s.fired.get(r['name'],0)+1
    def settle(s):
        for rnd in range(9):
            todo,s.order[:]=list(s.order),[]
            if not todo: return
            assert rnd<8, todo[:3]
            for t,op,nj,oj in todo:
                nv=s.vals(nj); ov=s.vals(oj) if oj else None
                if op=='update' and nv==ov: continue
                for r in s.rules:
                    if r['tbl']!=t or (r['event']!=op and not (r['event']=='put' and op!='delete')): continue
                    if op=='update' and r['columns'] and not any(nv[s.cols[t].index(c)]!=ov[s.cols[t].index(c)] for c in r['columns'].split(',')): continue
                    s.ev(); s.tmp('new',t,nj if op!='delete' else None); s.tmp('old',t,oj)
                    cond=r['condition'] or '1'
                    src='new' + (', old' if op=='update' else '')
                    if op=='delete' or s.db.execute(f"SELECT 1 FROM {src} WHERE {cond}").fetchone(): s.act(r)
    def do(s,sql,*a,at=None,stamp=None,user=None):
        if at: s.at=at
        s.stamp=stamp or s.at; s.user=user; s.order[:]=[]
        s.db.execute(sql,a); s.settle(); 
    def timer(s,name,at):
        s.at=s.stamp=at; s.order[:]=[]; s.ev(); s.tmp('new',None,None); s.tmp('old',None,None)
        r=next((r for r in s.rules if r['name']==name),dict(name=name,actions='')); s.act(r); s.settle()
import os
e=E(); e.rules=[r for r in e.rules if r['name']!=os.environ.get('WITHOUT')]; S=lambda x:bytes.fromhex('018bcfe568007000800000000000'+x)
eq=lambda a,b,w='':None if a==b else sys.exit(f'{w}: {a!r} instead of {b!r} (line {sys._getframe(1).f_lineno})')
d=e.do
for i,(n,role) in enumerate([('Ann','rep'),('Bob','rep'),('Mia','manager'),('Zoe','agent')]): d("INSERT INTO user_account(id,name,role,team_id) VALUES(?,?,?,x'7e')",bytes([i+1]),n,role)
d("INSERT INTO team(id,name,manager_id) VALUES(x'7e','T',x'03')")
for i,r in enumerate(['N','S']):
    d("INSERT INTO territory(id,name,region_code) VALUES(?,?,?)",bytes([16+i]),r,r); d("INSERT INTO user_territory VALUES(?,?)",bytes([i+1]),bytes([16+i]))
# points
d("INSERT INTO account(id,name,employees) VALUES(x'ac','Acme',300)")
d("INSERT INTO contact(id,account_id,given,job_title) VALUES(x'c1',x'ac','Al','Chief Buyer'),(x'c2',NULL,'Be','Clerk'),(x'c3',NULL,'Cy',NULL)")
for i,(k,v,n) in enumerate([('phone','+44 (0)20 7946-0958','+442079460958'),('phone','00351 21.123','+35121123'),('phone','021 99/7','021997'),('email',' Al@X.Example ','al@x.example'),('social','@Al','@al')]):
    d("INSERT INTO contact_point(id,contact_id,kind,value) VALUES(?,x'c1',?,?)",bytes([i]),k,v); eq(e.one("SELECT norm FROM contact_point WHERE id=?",bytes([i])),n)
d("UPDATE contact_point SET value='+1 2' WHERE id=x'02'"); eq(e.one("SELECT norm FROM contact_point WHERE id=x'02'"),'+12')
# leads
d("INSERT INTO lead(id,family,job_title,region_code,company_size,email,source,created_by) VALUES(x'10','Ä','Chief Financial Officer','N',300,'a@b','fair',x'02')")
eq(e.one("SELECT score,owner_id FROM lead WHERE id=x'10'"),(20+25+10+10+5,b'\1'))
eq(e.one("SELECT sum(points),count(*) FROM score_reason WHERE lead_id=x'10'"),(70,5))
eq(e.all("SELECT title,assignee_id FROM task WHERE parent_row=x'10'"),[('Call the new lead',b'\1')])
d("UPDATE lead SET status='working' WHERE id=x'10'"); d("UPDATE lead SET status='qualified' WHERE id=x'10'",user=b'\1',stamp=T-5000)
eq(e.one("SELECT score,handed_at FROM lead WHERE id=x'10'"),(85,T-5000)); eq(e.all("SELECT from_user,to_user,at FROM lead_handoff"),[(b'\2',b'\1',T-5000)])
eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'10'"),2)
d("INSERT INTO assign_rule(id,prio,title_like,region_code,to_user) VALUES(x'01',1,'%CFO%','N',x'03')")
d("INSERT INTO lead(id,family,job_title,region_code,source) VALUES(x'11','B','Intern CFO','N','purchased')"); eq(e.one("SELECT score,owner_id FROM lead WHERE id=x'11'"),(1,b'\3'))
d("INSERT INTO lead(id,family,region_code,source) VALUES(x'12','B','S','web')"); eq(e.one("SELECT score,owner_id FROM lead WHERE id=x'12'"),(15,b'\2'))
d("UPDATE score_rule SET points=40 WHERE id=?",S('e003')); eq(e.one("SELECT score FROM lead WHERE id=x'12'"),40)
d("UPDATE lead SET company_size=2 WHERE id=x'12'"); eq(e.one("SELECT score FROM lead WHERE id=x'12'"),35)
d("UPDATE lead SET company_size=60 WHERE id=x'12'"); eq(e.one("SELECT score,(SELECT count(*) FROM score_reason WHERE lead_id=x'12') FROM lead WHERE id=x'12'"),(50,2))
# nurture
d("UPDATE lead SET status='working' WHERE id=x'12'"); d("UPDATE lead SET status='nurturing' WHERE id=x'12'")
eq(e.all("SELECT sequence_id FROM sequence_enrolment"),[(S('e201'),)])
n0=e.one("SELECT count(*) FROM task WHERE parent_row=x'12'")
e.timer('nurture-step',T+6*DAY); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'12'"),n0)
e.timer('nurture-step',T+8*DAY); e.timer('nurture-step',T+8*DAY); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'12'"),n0+1)
e.timer('nurture-step',T+100*DAY); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'12'"),n0+3); eq(e.one("SELECT step_pos FROM sequence_enrolment"),3)
d("UPDATE lead SET status='working' WHERE id=x'12'",at=T+101*DAY); eq(e.one("SELECT ended_at FROM sequence_enrolment"),T+101*DAY)
# referral
e.at=T
d("INSERT INTO referral(id,referrer,referee,at) VALUES(x'01',x'c1',x'c2',5)"); d("INSERT INTO referral(id,referrer,referee,at) VALUES(x'02',x'c3',x'c2',1)"); d("INSERT INTO referral(id,referrer,referee,at) VALUES(x'03',x'c3',x'c3',1)")
eq(e.all("SELECT state FROM referral ORDER BY id"),[('counts',),('late',),('self',)])
# deals
B=[S('b10%d'%i) for i in range(1,8)]
d("INSERT INTO deal(id,name,account_id,stage_id,amount_cents,currency,owner_id,created_at,close_date) VALUES(x'd1','D1',x'ac',?,1000001,'USD',x'01',?,?)",B[0],T-2*DAY,T+40*DAY)
eq(e.all("SELECT from_stage,to_stage,at FROM deal_stage_log"),[(None,B[0],T-2*DAY)]); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'd1'"),2)
eq(e.one("SELECT base_cents,weighted_cents FROM deal_value WHERE deal_id=x'd1'"),(920001,92000)); eq(e.one("SELECT priority FROM deal WHERE id=x'd1'"),10+2+20)
d("INSERT INTO deal_contact(deal_id,contact_id) VALUES(x'd1',x'c1')"); eq(e.one("SELECT priority FROM deal WHERE id=x'd1'"),52)
d("UPDATE deal SET stage_id=? WHERE id=x'd1'",B[1],stamp=T-DAY,user=b'\1'); eq(e.one("SELECT count(*),max(at) FROM deal_stage_log"),(2,T-DAY)); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'd1'"),4)
d("INSERT INTO interaction(id,deal_id,contact_id,channel,at,by_user,kind) VALUES(x'a1',x'd1',x'c1','phone',?,x'01','demo_booked')",T-1000)
eq(e.one("SELECT stage_id FROM deal"),B[2]); eq(e.all("SELECT at,cause,from_stage FROM deal_stage_log WHERE to_stage=?",B[2]),[(T-1000,b'\xa1',B[1])]); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'd1'"),6)
d("INSERT INTO interaction(id,deal_id,contact_id,channel,at,by_user,kind) VALUES(x'a2',x'd1',x'c1','phone',?,x'01','demo_booked')",T); eq(e.one("SELECT count(*) FROM deal_stage_log"),3)
d("UPDATE deal SET stage_id=? WHERE id=x'd1'",B[1],at=T+DAY); d("UPDATE deal SET stage_id=? WHERE id=x'd1'",B[2],at=T+2*DAY); eq(e.one("SELECT count(*) FROM deal_stage_log"),5); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'd1'"),6)
for i in (3,4): d("UPDATE deal SET stage_id=? WHERE id=x'd1'",B[i],at=T+i*DAY)
d("INSERT INTO quote(id,deal_id,provisional) VALUES(x'01',x'd1','~A7-13')"); d("INSERT INTO quote(id,deal_id) VALUES(x'02',x'd1')")
y=crm_try.time.gmtime(T//1000).tm_year
eq(e.all("SELECT number,provisional FROM quote ORDER BY id"),[(f'Q-{y}-000001','~A7-13'),(f'Q-{y}-000002',None)])
d("UPDATE quote SET status='sent' WHERE id=x'01'"); d("UPDATE quote SET status='accepted' WHERE id=x'01'",at=T+5*DAY,user=b'\1'); eq(e.one("SELECT s.kind FROM deal JOIN stage s ON s.id=stage_id"),'won')
eq(e.one("SELECT count(*) FROM deal_stage_log"),8); eq(e.one("SELECT won,lost,rate_bp FROM closing_rate"),(1,0,10000))
eq(e.one("SELECT at FROM deal_decided"),T+5*DAY)
# an old deal without log, moved by a trigger
d("INSERT INTO deal(id,name,stage_id,amount_cents,owner_id,created_at,close_date) VALUES(x'd2','D2',?,500,x'02',?,?)",B[1],T-400*DAY,T-DAY); e.db.execute("DELETE FROM deal_stage_log WHERE deal_id=x'd2'"); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'd2'"),0)
d("INSERT INTO interaction(id,deal_id,channel,at,kind) VALUES(x'a3',x'd2','web',?,'demo_booked')",T-30*DAY); eq(e.all("SELECT from_stage,to_stage FROM deal_stage_log WHERE deal_id=x'd2' ORDER BY at"),[(None,B[1]),(B[1],B[2])])
# idle
n=e.one("SELECT count(*) FROM task WHERE parent_row=x'd2'"); e.timer('deal-follow-up',T); e.timer('deal-follow-up',T+1); eq(e.one("SELECT count(*) FROM task WHERE parent_row=x'd2'"),n+1)
d("UPDATE task SET done_at=? WHERE parent_row=x'd2' AND template_id=?",T+1,S('d103'),at=T+1); e.timer('deal-follow-up',T+2); e.timer('deal-follow-up',T+3); eq(e.one("SELECT count(*) FROM task t JOIN task_template p ON p.id=template_id WHERE parent_row=x'd2' AND done_at IS NULL AND cause IN ('idle','overdue')"),1)
# forecasts against Python
def mon(ms): return crm_try.time.strftime('%Y-%m',crm_try.time.gmtime(ms//1000))
d("UPDATE deal SET close_date=? WHERE id=x'd2'",T+9*DAY,at=T+3)
for i in range(40): d("INSERT INTO deal(id,name,stage_id,amount_cents,currency,owner_id,created_at,close_date) VALUES(?,?,?,?,?,?,?,?)",b'dd'+bytes([i]),'x',B[i%7],i*100003+7,['EUR','USD','GBP','CHF',None][i%5],bytes([1+i%2]),T-i*DAY,T+(i%3)*31*DAY)
e.timer('forecast-keep',T+DAY)
prob=[10,25,40,60,80,100,0]; rate={'EUR':1000000,'USD':920000,'GBP':1170000,'CHF':1050000,None:1000000}
rows=e.all("SELECT id,stage_id,amount_cents,currency,owner_id,close_date FROM deal"); log=e.all("SELECT deal_id,to_stage FROM deal_stage_log")
kind={r[0]:B.index(r[1]) for r in rows}; W={}; H={}; O={}
visited=set(log)
for (i,s,a,c,o,cl) in rows:
    k=B.index(s)
    if k>=5: continue
    base=(a*rate[c]+500000)//1000000; key=(mon(cl),o)
    W[key]=W.get(key,0)+(base*prob[k]+50)//100; O[key]=O.get(key,0)+base
    dec=[x for (x,t) in visited if t==s and kind[x]>=5]; won=sum(kind[x]==5 for x in dec)
    H[key]=H.get(key,0)+((base*prob[k]+50)//100 if not dec else (base*won+len(dec)//2)//len(dec))
eq({(m,o):w for m,o,w in e.all("SELECT month,owner_id,weighted_cents FROM forecast_weighted")},W); eq({(m,o):w for m,o,w in e.all("SELECT month,owner_id,history_cents FROM forecast_history")},H)
eq({(m,o):(a,b,c) for m,o,a,b,c in e.all("SELECT month,owner_id,open_cents,weighted_cents,history_cents FROM forecast_snapshot")},{k:(O[k],W[k],H[k]) for k in W})
by={}
for (i,s,a,c,o,cl) in rows: by.setdefault(s,[0,0]); by[s][0]+=1; by[s][1]+=(a*rate[c]+500000)//1000000
for s,n,c in e.all("SELECT stage_id,deals,cents FROM pipeline_by_stage WHERE deals>0"): eq([n,c],by[s])
rep={}
for (i,s,a,c,o,cl) in rows:
    k=B.index(s); r=rep.setdefault(o,[0,0,0,0,0]); v=(a*rate[c]+500000)//1000000
    if k<5: r[0]+=1;r[1]+=v
    elif k==5: r[2]+=1;r[3]+=v
    else: r[4]+=1
eq({r[0]:list(r[1:]) for r in e.all("SELECT owner_id,open_deals,open_cents,won_deals,won_cents,lost_deals FROM rep_metrics")},rep)
# velocity
V={}
for (x,) in e.all("SELECT DISTINCT deal_id FROM deal_stage_log"):
    l=e.all("SELECT to_stage,at FROM deal_stage_log WHERE deal_id=? ORDER BY at,id",x)
    t=e.one("SELECT job_title FROM contact WHERE id IN (SELECT contact_id FROM deal_contact WHERE deal_id=?)",x)
    for p,q in zip(l,l[1:]): V.setdefault((p[0],t),[]).append(q[1]-p[1])
eq({(s,t):(n,m) for s,t,n,m in e.all("SELECT stage_id,job_title,stays,mean_ms FROM stage_velocity")},{k:(len(v),sum(v)//len(v)) for k,v in V.items()})
# tickets
e.at=T
d("INSERT INTO ticket(id,subject,contact_id,assignee_id) VALUES(x'01','s',x'c1',x'04')",stamp=T-60000); eq(e.one("SELECT number,opened_at,sla_due_at FROM ticket"),(f'T-{y}-000001',T-60000,T+119*60000))
d("INSERT INTO ticket(id,subject,kind,priority,opened_at,assignee_id) VALUES(x'02','c','complaint',3,?,x'04')",T); eq(e.one("SELECT sla_due_at FROM ticket WHERE id=x'02'"),T+3600000)
d("UPDATE ticket SET priority=1 WHERE id=x'02'"); eq(e.one("SELECT sla_due_at FROM ticket WHERE id=x'02'"),T+1800000)
d("INSERT INTO ticket_event(id,ticket_id,kind,at,by_user) VALUES(x'01',x'01','reply',?,x'04')",T+5000,at=T+9000); d("INSERT INTO ticket_event(id,ticket_id,kind,at,by_user) VALUES(x'02',x'01','reply',?,x'04')",T+2000)
eq(e.one("SELECT first_response_at FROM ticket WHERE id=x'01'"),T+2000)
e.timer('ticket-escalate',T+1799999); eq(e.one("SELECT level FROM ticket WHERE id=x'02'"),1)
e.timer('ticket-escalate',T+1900000); e.timer('ticket-escalate',T+1900001); eq(e.one("SELECT level FROM ticket WHERE id=x'02'"),2); eq(e.all("SELECT at,internal FROM ticket_event WHERE kind='escalated'"),[(T+1800000,1)])
eq(e.all("SELECT assignee_id FROM task WHERE parent_row=x'02'"),[(b'\3',)])
d("UPDATE ticket SET state='resolved' WHERE id=x'01'",at=T+DAY); eq(e.one("SELECT resolved_at FROM ticket WHERE id=x'01'"),T+DAY)
d("INSERT INTO feedback(id,ticket_id,contact_id,score,at) VALUES(x'01',x'01',x'c1',4,5)"); eq(e.one("SELECT csat FROM ticket WHERE id=x'01'"),4)
eq(e.all("SELECT kind,opened,responded,first_response_ms,resolved,resolution_rate_bp,csat_n,csat_hundredths FROM tickets_figures ORDER BY kind"),[('complaint',1,0,None,0,0,0,None),('question',1,1,62000,1,10000,1,400)])
d("UPDATE ticket SET state='open' WHERE id=x'01'"); eq(e.one("SELECT resolved_at FROM ticket WHERE id=x'01'"),None)
# purchases
for i,(c,p) in enumerate([('c1','01'),('c2','01'),('c2','02'),('c3','01'),('c3','02'),('c3','03')]):
    if i<3: d("INSERT INTO product(id,sku,name,price_cents) VALUES(?,?,?,1)",bytes([i+1]),str(i),str(i))
    if i==0:
        for j in(2,3): d("INSERT INTO product(id,sku,name,price_cents) VALUES(?,?,?,1) ON CONFLICT DO NOTHING",bytes([j]),str(j-1),str(j-1))
        d("DELETE FROM product WHERE id<>x'01'")
for j in (1,2,3): d("INSERT INTO product(id,sku,name,price_cents) VALUES(?,?,?,1) ON CONFLICT DO NOTHING",bytes([j]),'s%d'%j,'p')
for i,(c,p) in enumerate([('c1','01'),('c2','01'),('c2','02'),('c3','01'),('c3','02'),('c3','03')]):
    d("INSERT INTO purchase(id,channel,contact_id,total_cents,at) VALUES(?,'pos',?,5,?)",bytes([i]),bytes.fromhex(c),T); d("INSERT INTO purchase_line(id,purchase_id,product_id,qty,unit_cents) VALUES(?,?,?,1,5)",bytes([i]),bytes([i]),bytes.fromhex(p))
eq(e.one("SELECT count(*) FROM contact WHERE status='customer'"),3)
eq(e.all("SELECT product_id,buyers FROM cross_sell WHERE contact_id=x'c1' ORDER BY 1"),[(b'\2',2),(b'\3',1)])
e.timer('cross-sell',T+1000); eq(e.all("SELECT product_id,buyers FROM suggestion WHERE contact_id=x'c1' ORDER BY 1"),[(b'\2',2),(b'\3',1)]); eq(e.one("SELECT count(*) FROM suggestion WHERE contact_id=x'c3'"),0)
d("INSERT INTO purchase(id,channel,contact_id,total_cents,at) VALUES(x'99','pos',x'c1',5,?)",T); d("INSERT INTO purchase_line(id,purchase_id,product_id,qty,unit_cents) VALUES(x'99',x'99',x'02',1,5)"); eq(e.one("SELECT count(*) FROM suggestion WHERE contact_id=x'c1'"),1)
# appointments
ap=lambda i,a,b:d("INSERT INTO appointment(id,title,starts_at,ends_at,owner_id) VALUES(?,'t',?,?,x'01')",bytes([i]),a,b)
tt=lambda:[r[0] for r in e.all("SELECT tentative FROM appointment ORDER BY id")]
ap(1,0,10); ap(2,10,20); eq(tt(),[0,0]); ap(3,5,15); eq(tt(),[0,0,1]); eq(e.one("SELECT count(*) FROM appointment_conflict"),2)
d("DELETE FROM appointment WHERE id=x'01'"); eq(tt(),[0,1]); d("UPDATE appointment SET starts_at=30,ends_at=40 WHERE id=x'02'"); eq(tt(),[0,0])
d("UPDATE appointment SET starts_at=31,ends_at=41 WHERE id=x'03'"); eq(tt(),[0,1]); d("UPDATE appointment SET cancelled=1 WHERE id=x'02'"); eq(tt(),[0,0])
ap(5,100,110); ap(6,105,120); eq(tt()[-2:],[0,1]); d("DELETE FROM appointment WHERE id=x'05'"); eq(tt()[-1],0)
# kb, objections, sources, 360, due
d("UPDATE kb_article SET body='b' WHERE id=?",S('f401')); eq(e.one("SELECT version FROM kb_article WHERE id=?",S('f401')),2)
d("INSERT INTO objection(id,parent_kind,parent_row,kind,at) VALUES(x'01','deal',x'd1','price',1),(x'02','lead',x'10','price',1),(x'03','deal',x'd1','price',1)"); eq(e.all("SELECT * FROM objections_report"),[('price',3,1,1,1,0)])
eq(e.one("SELECT sum(leads),sum(qualified) FROM leads_by_source"),(3,1))
d("INSERT INTO note(id,parent_kind,parent_row,body,at) VALUES(x'01','contact',x'c1','n',5)")
k=dict(e.all("SELECT kind,count(*) FROM contact_360 WHERE contact_id=x'c1' GROUP BY kind")); eq(k,{'note':1,'interaction':2,'purchase':2,'ticket':1,'ticket_event':2,'deal':1,'stage':7,'quote':2,'feedback':1,'referral':1})
crm_try.NOW=T+2*DAY; eq(e.one("SELECT count(*) FROM due_tasks"),e.one("SELECT count(*) FROM task WHERE done_at IS NULL AND due_at < ?",(crm_try.NOW//DAY+1)*DAY))
eq({r[0] for r in e.all("SELECT deal_id FROM idle_deals")},{r[0] for r in e.all("SELECT deal_id FROM deal_activity WHERE idle_at<=?",crm_try.NOW)})
print('rules',len(e.rules),'never wrote:',[r['name'] for r in e.rules if r['name'] not in e.fired])
