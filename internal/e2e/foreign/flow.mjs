// The whole way of a client that nobody here wrote: openid-client, certified by the
// OpenID Foundation. The test on the other side of stdin and stdout is the browser:
// for each line {"open": address} that comes out here it answers with the address at
// which the person left the issuer. The first line that comes in says what to do.
import assert from 'node:assert/strict'
import readline from 'node:readline'
import * as client from 'openid-client'

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const told = async () => (await lines.next()).value
const open = async (address) => {
  console.log(JSON.stringify({ open: address.href }))
  return new URL(await told())
}

const task = JSON.parse(await told())
const issuer = new URL(task.issuer)
const methods = {
  client_secret_basic: client.ClientSecretBasic,
  client_secret_post: client.ClientSecretPost,
  none: client.None,
}

const discover = async (id, secret, method, metadata = {}) => {
  const config = await client.discovery(issuer, id, metadata, methods[method](secret))
  client.enableNonRepudiationChecks(config) // verifies the signature of ID tokens as well
  return config
}

const refused = async (promise, error) => {
  await assert.rejects(promise, (e) => {
    assert.equal(e.error ?? e.code, error, e)
    return true
  })
}

// What a client is given when a person logs in.
const logIn = async (config) => {
  const verifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const nonce = client.randomNonce()
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: task.redirect,
    scope: task.scope,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  })
  const callback = await open(address)
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }

  // RFC 9207: the issuer stands in the answer, and the client holds it to that.
  const forged = new URL(callback)
  forged.searchParams.set('iss', 'https://evil.example')
  await refused(client.authorizationCodeGrant(config, forged, checks), 'OAUTH_INVALID_RESPONSE')
  forged.searchParams.delete('iss')
  await refused(client.authorizationCodeGrant(config, forged, checks), 'OAUTH_INVALID_RESPONSE')

  const tokens = await client.authorizationCodeGrant(config, callback, checks)
  return { tokens, callback, checks }
}

const web = async () => {
  const config = await discover(task.id, task.secret, task.method, { id_token_signed_response_alg: task.alg })
  const { tokens, callback, checks } = await logIn(config)
  const claims = tokens.claims()
  assert.equal(claims.iss, issuer.href.replace(/\/$/, ''))
  assert.equal(tokens.token_type, 'bearer')

  const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
  assert.equal(info.email, 'ada@example.com')
  assert.equal(info.name, 'Ada Lovelace')

  const fresh = await client.refreshTokenGrant(config, tokens.refresh_token)
  assert.notEqual(fresh.refresh_token, tokens.refresh_token)
  assert.equal(fresh.claims().sub, claims.sub)
  assert.equal(fresh.claims().auth_time, claims.auth_time)
  const narrow = await client.refreshTokenGrant(config, fresh.refresh_token, { scope: 'openid', resource: '' })
  assert.equal(narrow.scope, 'openid')

  if (task.secret) {
    const about = await client.tokenIntrospection(config, narrow.access_token)
    assert.equal(about.active, true)
    assert.equal(about.client_id, task.id)
  }
  await client.tokenRevocation(config, narrow.refresh_token, { token_type_hint: 'refresh_token' })
  await refused(client.refreshTokenGrant(config, narrow.refresh_token), 'invalid_grant')
  await refused(client.fetchUserInfo(config, narrow.access_token, claims.sub), 'OAUTH_WWW_AUTHENTICATE_CHALLENGE')
  await refused(client.authorizationCodeGrant(config, callback, checks), 'invalid_grant')

  // Logged in still: the second time nobody is asked anything.
  const second = await logIn(config)
  assert.equal(second.tokens.claims().sub, claims.sub)
  if (task.bye) {
    const end = client.buildEndSessionUrl(config, {
      id_token_hint: second.tokens.id_token,
      post_logout_redirect_uri: task.bye,
      state: 'so long',
    })
    const bye = await open(end)
    assert.equal(bye.href, task.bye + '?state=so+long')
  }
}

const robot = async () => {
  const config = await discover(task.id, task.secret, task.method)
  const tokens = await client.clientCredentialsGrant(config, { scope: task.scope, resource: task.api.id })
  assert.equal(tokens.scope, task.scope)
  assert.equal(tokens.refresh_token, undefined)
  // The API's identifier is an address: in Basic it is form-url-encoded.
  const api = await discover(task.api.id, task.api.secret, 'client_secret_basic')
  const about = await client.tokenIntrospection(api, tokens.access_token)
  assert.equal(about.active, true)
  assert.equal(about.sub, task.id)
  await client.tokenRevocation(config, tokens.access_token)
  assert.equal((await client.tokenIntrospection(api, tokens.access_token)).active, false)
  await refused(client.clientCredentialsGrant(config, { scope: 'nothing:known' }), 'invalid_scope')
  const impostor = await discover(task.id, task.api.secret, task.method)
  await refused(client.clientCredentialsGrant(impostor), 'OAUTH_WWW_AUTHENTICATE_CHALLENGE')
}

await { web, robot }[task.flow]()
process.exit(0)
