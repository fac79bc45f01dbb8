// An issuer of OpenID Connect for tests: issuer.mjs REDIRECT. It lets anybody in by any name, and
// says that the name, before a +, is a verified e-mail address. Prints "listens <address>".
import { createServer } from 'node:http'
import Provider from 'oidc-provider'

const server = createServer((request, answer) => handle(request, answer))
let handle
server.listen(0, '127.0.0.1', () => {
  const address = `http://127.0.0.1:${server.address().port}`
  const provider = new Provider(address, {
    clients: [{ client_id: 'longshore', client_secret: 'a-secret-of-the-client', redirect_uris: [process.argv[2]] }],
    pkce: { required: () => true },
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: id.replace(/^unverified-/, ''), email_verified: !id.startsWith('unverified-') }),
    }),
    cookies: { keys: ['a-key-of-cookies'] },
  })
  handle = provider.callback()
  console.log('listens ' + address)
})
