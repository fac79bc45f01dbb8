import { Fragment, h } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { ask, may, post, say, usePoll } from './api.js'
import { count, moment } from './format.js'
import { Copy, Fact, Facts, Say, Sec, Sign, Table, Th } from './parts.js'

interface Key { id: string; name: string; tenant: string; scopes: string[]; types?: string[]; expires_at?: string; created_by?: string; created_at?: string; last_used_at?: string }
interface Audit { time: string; actor: string; kind?: string; address?: string; action: string; target?: string; n?: number }

/** The installation, and who may use it; keys where the credential is an admin's. */
export function Access() {
  useEffect(() => { document.title = 'Access · Longshore' }, [])
  const here = usePoll(async (signal) => {
    const ready = await ask<{ status: string }>('/readyz', { signal }).then(() => '', (e) => String(e.message))
    const about = await may<{ info: { version: string } }>('/openapi.json', { signal })
    return { ready, version: about?.info.version }
  }, 5000).data
  const keys = usePoll((signal) => may<{ keys: Key[] }>('/v1/keys', { signal }), 10_000)
  const audit = usePoll((signal) => may<{ entries: Audit[] }>('/v1/audit', { signal }), 10_000).data?.entries
  const [made, setMade] = useState<{ name: string; key: string } | undefined>(), [trouble, setTrouble] = useState(''), [gone, setGone] = useState('')
  const [name, setName] = useState(''), [scopes, setScopes] = useState<string[]>(['jobs:submit', 'jobs:read'])
  const create = () => post<{ key: string }>('/v1/keys', { name, scopes }).then((k) => { setMade({ name, key: k.key }); setName(''); setTrouble(''); keys.again() }, (e) => setTrouble(String(e.message)))
  return <Fragment><div class="head"><h1>Access</h1></div>
    <div class="cols"><Sec id="h" title="This server" c="c4"><Facts>
      <Fact k="answers"><span class="st"><Sign of={here && !here.ready ? 'ok' : 'alarm'} tint={here && !here.ready ? 'succeeded' : 'retrying'} />{here ? here.ready || 'ready' : '…'}</span></Fact>
      <Fact k="version">{here?.version ?? '–'}</Fact><Fact k="address">{location.origin}</Fact><Fact k="API"><a class="go" href="../openapi.json">openapi.json</a></Fact></Facts></Sec>
      <Sec id="k" title="API keys" c="c8" end={keys.data && count(keys.data.keys.length)}>
        {keys.data === undefined && <p class="soft empty">Keys are shown to a credential with scope <code>admin</code>. An open installation makes them on the command line: <code>enqueue keys add NAME</code></p>}
        {made && <p class="note" role="status"><b>{made.name}</b>: <code>{made.key}</code> <Copy text={made.key} /><br />Nobody can show it again.</p>}
        {keys.data && <Fragment>{keys.data.keys.length > 0 && <Table label="API keys" head={<Fragment><Th>name</Th><Th>id</Th><Th c="least">scopes</Th><Th c="least">types</Th><Th c="num least">last used</Th><Th c="num less">ends</Th><Th unseen>delete</Th></Fragment>}>
          {keys.data.keys.map((k) => <tr key={k.id}><th scope="row"><Say text={k.name} most={60} /></th><td class="mono">{k.id}</td><td class="least wide soft">{k.scopes.join(' ')}</td><td class="least soft"><Say text={k.types?.join(' ') ?? 'all'} most={60} /></td><td class="num least soft">{k.last_used_at ? moment(k.last_used_at) : 'never'}</td><td class="num less soft">{k.expires_at ? moment(k.expires_at) : ''}</td>
            <td class="num"><button type="button" class="grave" aria-label={'Delete ' + k.name} onBlur={() => setGone('')} onClick={() => gone === k.id ? void ask(`/v1/keys/${k.id}`, { method: 'DELETE' }).then(() => { say(`Key ${k.name} is deleted.`); keys.again() }, (e) => setTrouble(String(e.message))) : setGone(k.id)}>{gone === k.id ? 'Delete for good' : 'Delete'}</button></td></tr>)}</Table>}
          <form class="form" onSubmit={(e) => { e.preventDefault(); void create() }}><div class="field"><label for="kn">new key for</label><input id="kn" value={name} required maxLength={64} placeholder="web-shop" onInput={(e) => setName(e.currentTarget.value)} /></div>
            <div class="field" role="group" aria-label="Scopes"><span class="label">may</span><div class="pair">{['jobs:submit', 'jobs:read', 'jobs:cancel', 'jobs:logs', 'numbers', 'operate', 'admin'].map((s) => <label key={s}><input type="checkbox" checked={scopes.includes(s)} onChange={(e) => setScopes(e.currentTarget.checked ? [...scopes, s] : scopes.filter((o) => o !== s))} /> {s}</label>)}</div></div>
            {trouble && <p class="tint failed" role="alert"><Say text={trouble} /></p>}<div class="do"><button class="first" disabled={!scopes.length}>Make a key</button></div></form></Fragment>}
      </Sec></div>
    {!!audit?.length && <Sec id="a" title="Audit" end="newest first"><Table label="Audit" head={<Fragment><Th>at</Th><Th>who</Th><Th>did</Th><Th>to</Th><Th c="least">from</Th></Fragment>}>
      {audit.slice(0, 100).map((e, i) => <tr key={i}><td class="soft">{moment(e.time)}</td><td><Say text={e.actor} most={60} /></td><td>{e.action}</td><td class="mono"><Say text={e.target} most={80} /></td><td class="soft least"><Say text={e.address} most={60} /></td></tr>)}</Table></Sec>}
  </Fragment>
}
