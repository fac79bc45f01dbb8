// Passkeys: the only part of these pages that needs a script. Buttons show once it runs.
const base = document.currentScript.src.replace(/\/login\.js$/, '')

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')

async function post(path, body) {
  const answer = await fetch(base + path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } })
  const said = await answer.json()
  if (said.code === 'step_up') {
    location = base + '/again?return_to=' + encodeURIComponent(location.pathname)
    return new Promise(() => {})
  }
  if (!answer.ok) throw new Error(said.detail || said.title)
  return said
}

// plain is a credential as JSON says it.
const plain = (c, name) => {
  const r = c.response, out = {}
  for (const field of ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle'])
    if (r[field]) out[field] = text(r[field])
  if (r.getTransports) out.transports = r.getTransports()
  return { id: c.id, rawId: text(c.rawId), type: c.type, response: out, authenticatorAttachment: c.authenticatorAttachment ?? undefined,
    clientExtensionResults: c.getClientExtensionResults(), name }
}

async function login(button) {
  const { publicKey } = await post('/passkey/begin', {})
  publicKey.challenge = bytes(publicKey.challenge)
  const c = await navigator.credentials.get({ publicKey })
  return post('/passkey?return_to=' + encodeURIComponent(button.dataset.back), plain(c))
}

async function add() {
  const { publicKey } = await post('/passkeys/begin', {})
  publicKey.challenge = bytes(publicKey.challenge)
  publicKey.user.id = bytes(publicKey.user.id)
  for (const known of publicKey.excludeCredentials ?? []) known.id = bytes(known.id)
  const c = await navigator.credentials.create({ publicKey })
  return post('/passkeys', plain(c, document.getElementById('passkey-name').value))
}

for (const [id, act] of [['passkey-login', login], ['passkey-add', add]]) {
  const part = document.getElementById(id)
  if (!part || !window.PublicKeyCredential) continue
  part.hidden = false
  const button = part.querySelector('button'), said = part.querySelector('[role=alert]')
  button.addEventListener('click', async (event) => {
    event.preventDefault()
    button.disabled = true
    said.textContent = ''
    try {
      location = (await act(button)).location
    } catch (error) {
      said.textContent = error.name === 'NotAllowedError' ? 'No passkey was chosen.' : error.message
      button.disabled = false
    }
  })
}
